"""`persondays fit` and `classify`: a classifier from a labelled set, and the activities of a store's person-days."""
