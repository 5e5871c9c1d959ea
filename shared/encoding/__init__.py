"""JSON and text: read strictly, written in one form, made storable."""
