"""The programs that are sub-commands of `pixelcnn-aux`: modules as `program` runs them."""
