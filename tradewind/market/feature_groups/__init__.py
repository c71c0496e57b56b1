"""Groups of features that a specification may name in `groups`: one file each."""
