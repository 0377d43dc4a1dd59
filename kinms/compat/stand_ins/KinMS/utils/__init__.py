"""Import paths of the class before its release."""
