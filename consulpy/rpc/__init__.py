"""Server RPC: `call` is the one seam through which everything is read and written."""
