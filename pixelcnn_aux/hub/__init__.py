"""Models in repositories of the Hugging Face Hub, named hf://OWNER/NAME.

A repository holds what the folder of a model of the package does (`zoo`), and README.md, its model card.
"""
