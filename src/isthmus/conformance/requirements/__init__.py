"""The requirements of wire.md §6, a group a file; importing `all` writes them down."""
