"""`python -m bench report`: what the results in `bench/record` say.

| module | makes |
|---|---|
| `text` | the history for a terminal |
| `page` | the same as one HTML file without scripts, with charts of `charts` |
| `headline` | README's table: what, figure, the command that reproduces it |
"""
