"""What a file is that Pillow knows no picture in, by how it begins."""

from collections.abc import Mapping

NO_PICTURES: Mapping[bytes, str] = {
    b"version https://git-lfs": "a pointer of Git LFS; fetch the file itself: git lfs pull",
    b"<!doctype html": "a page of the web, no picture",
    b"<html": "a page of the web, no picture",
    b"<?xml": "a drawing (SVG); write it as PNG",
    b"<svg": "a drawing (SVG); write it as PNG",
}
"""What a file is whose content begins so."""
HEIC = frozenset({b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1", b"ftyphevc"})


def no_picture(content: bytes) -> str:
    """Why Pillow knows no picture in it."""
    if not content:
        return "the file has 0 bytes"
    if content[4:12] in HEIC:
        return "a picture as HEIC; write it as JPEG"
    start = content[:64].lstrip().lower()
    told = (says for begins, says in NO_PICTURES.items() if start.startswith(begins))
    return next(told, "no image that Pillow can read")
