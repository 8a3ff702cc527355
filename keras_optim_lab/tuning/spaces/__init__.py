"""What may be chosen: search spaces from an optimizer's fields, and what a trial has chosen."""
