"""Reports: figures, tables, and the self-contained page that holds them."""
