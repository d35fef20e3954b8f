"""`persondays withdraw`: forgetting people, and proving it."""
