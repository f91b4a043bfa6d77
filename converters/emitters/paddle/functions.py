"""Source that is copied into an emitted module when it calls one of these functions."""
