"""`persondays verify`: check that rows and objects of a store agree, and repair what does not."""
