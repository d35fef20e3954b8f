"""`persondays withdraw`: delete participants, and prove that nothing of them is left."""
