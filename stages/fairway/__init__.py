"""Fairway's library: everything with an `if` worth testing, as functions of values."""
