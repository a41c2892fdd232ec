"""Small trained subjects to audit, with the scripts that made them."""
