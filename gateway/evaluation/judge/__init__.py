"""A model grades free text on a rubric, and is held against human grades.

What is not measured: how a grade depends on the order in which the grades are listed or on the
scale itself (a judge that likes fours), on the length of an answer, and on where in the prompt it
stands. Agreement with humans on the answers at hand is the only evidence that these do not decide.
A text that is graded may try to talk the judge into a grade; the rubrics say that it is no
instruction, which a model may ignore.
"""
