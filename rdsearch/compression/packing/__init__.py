"""A float network to the bytes of its file, stage by stage; `pack` is the way in."""
