"""The PDF's typesetter. Only its own process imports it: `python -m shared.exports.pdf.typeset`."""
