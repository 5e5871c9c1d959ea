"""The typesetter of the PDF. Only its own process imports it: `python -m shared.export.typeset`."""
