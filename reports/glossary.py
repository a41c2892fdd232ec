"""The words of the report, explained to somebody who did not write the plan."""

from __future__ import annotations

OUTCOMES: tuple[tuple[str, str], ...] = (
    ("passed", "The whole interval lies on the wanted side of the threshold, or a control showed what it must."),
    ("failed", "The whole interval lies on the wrong side of the threshold, or a control did not show what it must."),
    ("warning", "Like failed, but the plan asked only for a warning."),
    ("undecided", "The interval contains the threshold, or what was asked stayed open. Never to be read as safe."),
    ("not assessed", "It was not, or could not be, measured; the reason says why. Never to be read as safe."),
    (
        "void",
        "A value exists and may not be relied on: its check stopped with an error, or a control of its check failed.",
    ),
    ("stopped", "The check ended with an error. Nothing may be read from it."),
    ("measured", "A value without a threshold: for reading, not for judging."),
)

TERMS: tuple[tuple[str, str], ...] = (
    ("accuracy", "The share of samples whose predicted class is the label."),
    (
        "accuracy under attack",
        "The share of samples that are answered rightly and stay so under every perturbation that the attack tried. "
        "An upper limit: a stronger attack may find more.",
    ),
    (
        "certified accuracy",
        "The share of samples that are answered rightly and proved to stay so under every perturbation within the "
        "budget. A lower limit: a sharper proof may reach more. It holds in the stated arithmetic.",
    ),
    (
        "epsilon",
        "The size of the largest allowed change of an input, in units of the declared input box, before any "
        "preprocessing of the model. L-inf limits the change of every feature; L2 limits the length of the whole.",
    ),
    (
        "sandwich",
        "Certificate and attack in one figure: below the certificate is proved, above the attack is broken, between "
        "the two is undecided. Steps, because between two measured budgets only the nearest measurement speaks.",
    ),
    (
        "interval",
        "Where the true value lies with the stated confidence, were the audit repeated with other samples of the same "
        "kind; n is how many samples were used. An enclosure is certain instead.",
    ),
    ("threshold", "What the plan demands of a value. It is judged on the whole interval, not on the point."),
    ("control", "A row whose result is known beforehand. If it comes out wrong, its check is not to be trusted."),
    ("protocol", "Everything that must agree before two values of the same name may be compared."),
    ("witness", "A concrete input that breaks a property, replayed on the real model and kept beside this report."),
    (
        "calibration, ECE",
        "Whether a stated confidence of 80 % is right 80 % of the time; the expected calibration error (ECE) is "
        "the mean gap.",
    ),
    ("AUROC", "How well a score tells two sets apart: 0.5 is a coin, 1 is perfect."),
    ("FPR at 95 % TPR", "How much of the foreign data is let in when 95 % of the familiar data is."),
    ("AUPR", "Area under precision over recall. Its baseline is the share of positives."),
    ("selection rate", "The share of a group that receives the favourable answer."),
    ("fooling image", "An input that no person would name, to which the model gives a class with high confidence."),
    ("Frechet distance", "How far generated pictures lie from real ones in a named feature layer; 0 is the same."),
)
