"""The store: what lies where, on a disk, an object store or in a database, and who may write."""
