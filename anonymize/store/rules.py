"""Every reason for which an export or a foreign read is refused, by the name that docs/export.md explains."""

from __future__ import annotations

import enum


class Rule(enum.StrEnum):
    """Why nothing leaves."""

    OBJECTS_NONE = "objects-none"
    OBJECTS_TWICE = "objects-twice"
    OBJECT_UNKNOWN = "object-unknown"
    OBJECT_EXPIRED = "object-expired"
    OBJECT_ALTERED = "object-altered"
    BUNDLE_ALTERED = "bundle-altered"
    PERSONS_UNKNOWN = "persons-unknown"
    IMPORTANT_NEVER = "important-never"
    POLICY_DEFAULT = "policy-default"
    POLICY_DENY = "policy-deny"
    SINK_UNKNOWN = "sink-unknown"
    TAG_MISSING = "tag-missing"
    TAG_SIGNATURE = "tag-signature"
    TAG_NAME = "tag-name"
    TAG_EXPIRED = "tag-expired"
    REGION_MISMATCH = "region-mismatch"
    APPROVAL_MISSING = "approval-missing"
    APPROVAL_SIGNATURE = "approval-signature"
    APPROVAL_EXPIRED = "approval-expired"
    APPROVAL_KIND = "approval-kind"
    APPROVAL_SET = "approval-set"
    APPROVAL_CLASSES = "approval-classes"
    APPROVAL_COUNTS = "approval-counts"
    APPROVAL_RECIPIENT = "approval-recipient"
    APPROVAL_JURISDICTION = "approval-jurisdiction"
    APPROVAL_PURPOSE = "approval-purpose"
    APPROVAL_USED = "approval-used"
    YEAR_PERSONS = "year-persons"
    YEAR_SENSITIVE = "year-sensitive"
    LEDGER_ALTERED = "ledger-altered"
    CLOCK_BEHIND = "clock-behind"
