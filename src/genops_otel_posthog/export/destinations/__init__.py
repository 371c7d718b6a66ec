"""Where events go: one file per destination behind one protocol."""
