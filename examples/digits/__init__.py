"""A small classifier and a small conditional generator of scikit-learn's 8x8 digits."""
