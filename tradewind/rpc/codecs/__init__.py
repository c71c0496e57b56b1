"""Between the values that services and clients speak of, and their messages: both ways at once."""
