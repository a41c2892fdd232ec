"""A small classifier of scikit-learn's diabetes table, with its sex and age columns."""
