"""Addresses of DICOMweb that may be passed on to the PACS; everything else there stays out of reach."""

import re

UID = r"\d+(\.\d+){0,63}"
STUDY = f"studies/{UID}"
SERIES = f"{STUDY}/series/{UID}"
INSTANCE = f"{SERIES}/instances/{UID}"
BULK = r"bulk(data)?(/[0-9A-Za-z]{1,64}){1,16}"
SEARCH = [r"studies", r"series", r"instances", rf"{STUDY}/(series|instances)", rf"{SERIES}/instances"]
RETRIEVE = [
    rf"{STUDY}(/metadata|/rendered|/thumbnail)?",
    rf"{SERIES}(/metadata|/rendered|/thumbnail)?",
    rf"{INSTANCE}(/metadata|/rendered|/thumbnail)?",
    rf"{INSTANCE}/frames/\d+(,\d+)*(/rendered|/thumbnail)?",
    rf"(({STUDY}|{SERIES}|{INSTANCE})/)?{BULK}",
]
STORE = [r"studies", STUDY]
QUERY = re.compile(r"[A-Za-z0-9.,_~*%=&+:/;()@!'-]*")


def may_read(path: str) -> bool:
    """Whether `path` is a search or retrieval, as in PS3.18 sections 10.4 and 10.6."""
    return any(re.fullmatch(pattern, path, re.ASCII) for pattern in SEARCH + RETRIEVE)


def may_store(path: str) -> bool:
    """Whether `path` is where instances are stored, as in PS3.18 section 10.5."""
    return any(re.fullmatch(pattern, path, re.ASCII) for pattern in STORE)


def clean_query(query: str) -> bool:
    """Whether a query string has only the characters of one."""
    return len(query) <= 4096 and bool(QUERY.fullmatch(query))
