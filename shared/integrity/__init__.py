"""Whether what is stored is whole: a bounded look for health, the whole of it for the doctor."""
