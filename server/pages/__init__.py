"""The pages that the server renders: each module holds handlers, and its templates stand beside it.

Forms work without scripts: POST, then a redirect; what is wrong comes back as the form with a sentence at the field.
"""
