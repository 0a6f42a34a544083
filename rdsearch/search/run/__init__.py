"""The run: Ray, its workers, and the driver that feeds them."""
