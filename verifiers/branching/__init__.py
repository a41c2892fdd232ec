"""Complete verification: input sets or neurons are split until every part is proved or a witness is found."""
