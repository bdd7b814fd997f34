"""Agreement: what scores are called, and what they do not show, where a teacher's answers stand for labels.

A score against label maps that a teacher made says how like the teacher a student is, the teacher's errors
included. It is called agreement wherever it is shown, and never by the metric's name alone.
"""

from __future__ import annotations


def agreement(title: str) -> str:
    """What a metric of that title is called: "agreement (Dice)"."""
    return f"agreement ({title})"


def titled(title: str, labelled_by: str) -> str:
    """`title`, or what it is called where `labelled_by` names the teacher whose answers stand for labels."""
    return agreement(title) if labelled_by else title


def limits(teacher: str) -> str:
    """What agreement with `teacher` does not show, in a sentence."""
    return (
        f"Nobody labelled these scans: scores are agreement with {teacher}, likeness to its answers, its"
        " errors included. They cannot show whether the student or the teacher is right, nor that the student"
        " is as good as the teacher: for that, judge both on labelled scans (distilseg evaluate)."
    )
