"""The tables of the app database, the same on SQLite and PostgreSQL.

All times are milliseconds since 1970 UTC (`_at_ms`).
"""

from __future__ import annotations

from server.models.accounts import (
    GONE_ACCOUNT_STATES,
    Account,
    ApiKey,
    BillingProfile,
    Invitation,
    MemberRole,
    Membership,
    Scope,
)
from server.models.backups import Backup
from server.models.base import Base
from server.models.billing import PlanChange, StripeEvent, Subscription
from server.models.deletion import DeletionRequest, Destruction
from server.models.ingest import BatchClaim, Salt, Version, Watermark
from server.models.operations import (
    Alert,
    AuditEntry,
    CacheInvalidation,
    FeatureFlag,
    JobRun,
    JobState,
    Mail,
    Task,
)
from server.models.product import (
    Annotation,
    ClosedDay,
    ClosedMonth,
    Funnel,
    Goal,
    Import,
    OpenDay,
    Segment,
    SiteTimezone,
)
from server.models.reports import ReportSend, ReportSubscription, StaffReport, TrafficAlert
from server.models.retention import RetentionMove, RetentionWait
from server.models.sites import Guest, GuestRole, ShareLink, Site, SiteTransfer
from server.models.staff import Announcement, Block, StandIn
from server.models.usage import SiteOwner, UsageDay, UsagePeriod
from server.models.users import KnownDevice, LoginSession, OneTimeToken, RecoveryCode, TokenPurpose, User

__all__ = [
    "GONE_ACCOUNT_STATES",
    "Account",
    "Alert",
    "Annotation",
    "Announcement",
    "ApiKey",
    "AuditEntry",
    "Backup",
    "Base",
    "BatchClaim",
    "BillingProfile",
    "Block",
    "CacheInvalidation",
    "ClosedDay",
    "ClosedMonth",
    "DeletionRequest",
    "Destruction",
    "FeatureFlag",
    "Funnel",
    "Goal",
    "Guest",
    "GuestRole",
    "Import",
    "Invitation",
    "JobRun",
    "JobState",
    "KnownDevice",
    "LoginSession",
    "Mail",
    "MemberRole",
    "Membership",
    "OneTimeToken",
    "OpenDay",
    "PlanChange",
    "RecoveryCode",
    "ReportSend",
    "ReportSubscription",
    "RetentionMove",
    "RetentionWait",
    "Salt",
    "Scope",
    "Segment",
    "ShareLink",
    "Site",
    "SiteOwner",
    "SiteTimezone",
    "SiteTransfer",
    "StaffReport",
    "StandIn",
    "StripeEvent",
    "Subscription",
    "Task",
    "TokenPurpose",
    "TrafficAlert",
    "UsageDay",
    "UsagePeriod",
    "User",
    "Version",
    "Watermark",
]
