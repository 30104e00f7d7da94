"""The part of Go's text/template that chat templates use, read and executed as Ollama does.

Reference: the documentation of Go's packages text/template and text/template/parse. Of it are
here: text, comments, trimming with {{- and -}}; if, with and range with else, and else if;
pipelines, fields, variables, literals; and, or, not, eq, ne, lt, le, gt, ge, len, index, slice.
Everything else is an error, never a guess. Strings are counted in bytes, as Go counts them.

    tree.py       the nodes and the values
    reading.py    text -> nodes
    executing.py  nodes and a value -> text
    functions.py  what a template may call
    ollama.py     a conversation -> the value, and what Ollama does to the nodes
"""
