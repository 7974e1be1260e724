"""Escaping of untrusted text for display: no cursor movements, line ends, or changes of the writing direction."""


def printable(text: str) -> str:
    """`text` with line ends, control, bidirectional and other invisible characters as escapes (`\\n`, `\\u202e`).

    A byte that is no UTF-8 (`surrogateescape`) is shown as `\\xff`.
    """
    if text.isprintable():
        return text
    return "".join(character if character.isprintable() else _escape(character) for character in text)


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character.encode("unicode_escape").decode()
