"""The programs that are sub-commands of `pixelcnn-aux`, one a module; `pixelcnn_aux.__main__` lists them.

A program is a module with a docstring, `define_flags`, `main`, and `ARGUMENTS` if it takes others than flags:
`commands.program.start` runs it.
"""
