"""Formulas as docstrings write them, in Unicode, as LaTeX.

    latex("η m̂ / (√v̂ + ε)")    # \\frac{\\eta \\hat{m}}{\\sqrt{\\hat{v}} + \\varepsilon}

A quotient reaches to the left over the whole product and to the right over one factor, as in the
docstrings; what is no symbol is text.
"""

import re
import unicodedata

_SUBSCRIPTS = dict(zip("₀₁₂₃₄₊₋ₜₘₐₓᵣₒᵥᴄₗ", "01234+-tmaxrowcl", strict=True))
_SUPERSCRIPTS = dict(zip("⁰¹²³⁴⁵⁶⁺⁻ᵗᵏᵈᐟ", "0123456+-tkd/", strict=True)) | {
    "ᵀ": r"\top",
    "′": r"\prime",
}
_ACCENTS = {"\u0302": "hat", "\u0304": "bar"}
_SYMBOLS = {
    "←": r"\leftarrow",
    "−": "-",
    "·": r"\cdot",
    "⊙": r"\odot",
    "∇": r"\nabla ",
    "∞": r"\infty",
    "Σ": r"\sum ",
    "≈": r"\approx",
    "±": r"\pm ",
    "⋯": r"\cdots ",
    "…": r"\dots ",
    "⟨": r"\langle ",
    "⟩": r"\rangle ",
    "½": r"\tfrac{1}{2}",
    "¼": r"\frac{1}{4}",
    "%": r"\%",
    ":": r":\ ",
    "ℓ": r"\ell ",
    **{c: f"\\{unicodedata.name(c).split()[-1].lower()} " for c in "αβγηκμπρψ"},
    "λ": r"\lambda ",
    "ε": r"\varepsilon ",
    "φ": r"\varphi ",
}
_FUNCTIONS = {"cos", "exp", "max", "min", "sign", "clip", "rms", "mean", "diag", "orthogonal"}
_BETWEEN = set("←=+−,≈>;:")  # where a product ends
_OPEN, _CLOSE = {"(": ")", "⟨": "⟩", "‖": "‖", "|": "|"}, set(")⟩")
_TOKEN = re.compile(
    r"`[^`]*`"  # a name
    r"|[A-Za-z]+(?:-[a-z]+|'s)*(?![\u0302\u0304])"  # letters, or words
    r"|\d+(?:\.\d+)?|[^\W\d_][\u0302\u0304]?|[^\s\w]|\w"
)


def lines(formula: str) -> list[str]:
    """Each line of a formula; wide gaps stay."""
    return [
        r" \qquad ".join(latex(part) for part in re.split(r"\s{4,}", line.strip()))
        for line in formula.strip("\n").split("\n")
    ]


def latex(formula: str) -> str:
    """One line of a formula."""
    return re.sub(r" \}(?= [,)]| \\right)", "}", _Reader(formula).sum())


class _Reader:
    def __init__(self, formula: str):
        text = unicodedata.normalize("NFC", formula)
        for accent in _ACCENTS:  # ŝ and ẑ are one character each; a letter and its accent are two
            text = "".join(
                unicodedata.normalize("NFD", c) if accent in unicodedata.normalize("NFD", c) else c
                for c in text
            )
        self._tokens = [(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(text)]
        self._at = 0

    def _next(self) -> str | None:
        return self._tokens[self._at][0] if self._at < len(self._tokens) else None

    def _take(self) -> str:
        token = self._tokens[self._at][0]
        self._at += 1
        return token

    def sum(self, until: str | None = None) -> str:
        """Products and what stands between them, up to a closing sign, which is taken."""
        done: list[str] = []
        while (token := self._next()) is not None and token != until:
            if token in _BETWEEN:
                done.append(_SYMBOLS.get(self._take(), token))
            else:
                done.append(self._product(until))
        if until is not None and self._next() == until:
            self._take()
        return " ".join(done)

    def _product(self, until: str | None) -> str:
        factors: list[str] = []
        while (token := self._next()) is not None and token != until and token not in _BETWEEN:
            if token == "/" and factors:
                self._take()
                texts = sum(factor.startswith(r"\text") for factor in factors) % len(factors)
                above, factors = " ".join(factors[texts:]), factors[:texts]
                factors.append(rf"\frac{{{above}}}{{{self._factor(bare=True)}}}")
            else:
                factors.append(self._factor())
        return " ".join(factors)

    def _factor(self, bare: bool = False) -> str:
        """One factor with its scripts; `bare` without parentheses that enclose it whole."""
        token = self._take()
        if token == "√" and not self._touching():
            return r"\sqrt{\ }"
        if token == "√":
            return rf"\sqrt{{{self._factor(bare=True)}}}" + self._scripts()
        if token in _FUNCTIONS:
            name = self._named(token) + self._scripts()
            return name + self._factor() if self._next() == "(" else name
        if token == "Σ":
            return _SYMBOLS[token] + self._factor()
        if token in _OPEN:
            inside = self.sum(_OPEN[token])
            scripts = self._scripts()
            if token == "(" and bare and not scripts:
                return inside
            left, right = {
                "(": (r"\left(", r"\right)"),
                "⟨": (r"\langle ", r"\rangle "),
                "‖": (r"\lVert ", r"\rVert "),
                "|": (r"\lvert ", r"\rvert "),
            }[token]
            return f"{left} {inside} {right}{scripts}"
        return self._named(token) + self._scripts()

    def _named(self, token: str) -> str:
        if token[-1:] in _ACCENTS:
            return rf"\{_ACCENTS[token[-1]]}{{{_SYMBOLS.get(token[0], token[0])}}}"
        if token in _FUNCTIONS:
            return rf"\operatorname{{{token}}}"
        if token.startswith("`") or (token.isascii() and token[:1].isalpha() and len(token) > 1):
            if token.isupper():  # a product of matrices
                return " ".join(token)
            return self._words(token)
        return _SYMBOLS.get(token, token)

    def _words(self, word: str) -> str:
        """Words that follow each other are one text."""
        words = [word]
        while (
            (token := self._next())
            and token not in _FUNCTIONS
            and re.fullmatch(r"`[^`]*`|[a-z]{2,}(-[a-z]+)?|[A-Z][a-z]+|a|is|k-th", token)
        ):
            words.append(self._take())
        text = " ".join(words).replace("`", "")
        return rf"\text{{ {text} }}"

    def _touching(self) -> bool:
        """Whether what follows stands there without a space between."""
        here = self._tokens[self._at - 1 : self._at + 1]
        return len(here) == 2 and here[0][2] == here[1][1]

    def _scripts(self) -> str:
        below = above = ""
        while self._touching():
            token = self._tokens[self._at][0]
            if all(c in _SUBSCRIPTS for c in token):
                below += "".join(_SUBSCRIPTS[c] for c in self._take())
            elif all(c in _SUPERSCRIPTS for c in token):
                above += "".join(_SUPERSCRIPTS[c] for c in self._take())
            elif token == "∞" and not below:
                below += _SYMBOLS[self._take()]
            elif token == "*" and not above:
                above += self._take()
            elif token == "^":
                self._take()
                above += self._exponent()
            else:
                break
        return (f"_{{{below}}}" if below else "") + (f"^{{{above}}}" if above else "")

    def _exponent(self) -> str:
        if self._next() != "(":
            return self._factor()
        self._take()
        inside = ""
        while (token := self._next()) is not None and token != ")":
            inside += _SYMBOLS.get(self._take(), token)
        self._at += 1
        return inside
