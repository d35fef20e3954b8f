"""`persondays verify`: whether rows and objects of a store agree, and mending what does not."""
