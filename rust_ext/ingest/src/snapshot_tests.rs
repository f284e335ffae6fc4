//! Tests of the snapshot: its errors one by one, lookups, and local dates across clock changes.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]

use serde_json::{Value, json};

use super::*;

const BERLIN_OCTOBER: [(&str, &str); 4] = [
    // The clocks went back on 25 October 2026 at 03:00: that day had 25 hours.
    ("2026-10-24", "2026-10-23T22:00:00Z"),
    ("2026-10-25", "2026-10-24T22:00:00Z"),
    ("2026-10-26", "2026-10-25T23:00:00Z"),
    ("2026-10-27", "2026-10-26T23:00:00Z"),
];

/// Milliseconds of `2026-10-23T22:00:00Z`.
fn utc_ms(text: &str) -> i64 {
    let days = i64::from(days_of_date(&text[..10]).unwrap());
    let number = |from: usize| text[from..from + 2].parse::<i64>().unwrap();
    ((days * 24 + number(11)) * 60 + number(14)) * 60_000 + number(17) * 1_000
}

fn sample() -> Value {
    let days: Vec<Value> = BERLIN_OCTOBER.iter().map(|(date, start)| json!([utc_ms(start) / 1_000, date])).collect();
    json!({
        "version": 7, "generated_at_ms": 1, "shards": 2,
        "timezones": [{"name": "Europe/Berlin", "days": days}],
        "salts": {"2026-10-25": "00112233445566778899aabbccddeeff", "2026-10-26": "ffeeddccbbaa99887766554433221100"},
        "sites": [{
            "site_id": 1, "public_id": "9b2d3f60-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "domain": "Example.com", "account_id": 4,
            "timezone": 0, "state": "active", "retention_class": 2, "allowed_hostnames": ["example.com", "*.example.org"],
            "drop_bot_mask": 65_535, "rate_per_second": null, "sample_every": 1, "spam_filter": true,
        }],
        "limits": {"rate_per_address_per_second": 50},
        "api_keys": [{"hash": "ab".repeat(32), "account_id": 4}],
    })
}

fn read(value: &Value) -> Result<Snapshot, SnapshotError> {
    Snapshot::from_json(&serde_json::to_vec(value).unwrap())
}

#[test]
fn finds_sites_and_keys() {
    let snapshot = read(&sample()).unwrap();
    assert_eq!((snapshot.version, snapshot.shards), (7, 2));
    let site = snapshot.site_by_domain("example.com").unwrap();
    assert_eq!((site.site_id, site.account_id, site.retention_class), (1, 4, 2));
    assert!(snapshot.site_by_domain("example.org").is_none());
    for id in ["9b2d3f60-1c2d-4e5f-8a9b-0c1d2e3f4a5b", "9B2D3F601C2D4E5F8A9B0C1D2E3F4A5B"] {
        assert_eq!(snapshot.site_by_public_id(id.as_bytes()).unwrap().site_id, 1);
    }
    for id in ["", "9b2d3f60", "9b2d3f60-1c2d-4e5f-8a9b-0c1d2e3f4a5c", "9b2d3f60+1c2d-4e5f-8a9b-0c1d2e3f4a5b"] {
        assert!(snapshot.site_by_public_id(id.as_bytes()).is_none(), "{id}");
    }
    assert_eq!(snapshot.account_of_key(&[0xab; 32]), Some(4));
    assert_eq!(snapshot.account_of_key(&[0xac; 32]), None);
    assert_eq!(snapshot.timezone_of(site), "Europe/Berlin");
    assert_eq!(snapshot.rate_per_address, Some(Rate::per_second(50)));
}

#[test]
fn allowed_hostnames_are_exact_or_below_a_star() {
    let snapshot = read(&sample()).unwrap();
    let site = snapshot.site_by_domain("example.com").unwrap();
    for (hostname, allowed) in [
        ("example.com", true),
        ("blog.example.com", false),
        ("a.example.org", true),
        ("a.b.example.org", true),
        ("example.org", false),
        ("badexample.org", false),
        ("", false),
    ] {
        assert_eq!(site.allows_hostname(hostname), allowed, "{hostname}");
    }
    let mut open = sample();
    open["sites"][0]["allowed_hostnames"] = json!([]);
    let open = read(&open).unwrap();
    assert!(open.sites()[0].allows_hostname("anything.test"));
}

#[test]
fn blocks_are_there_when_a_site_has_any() {
    assert!(read(&sample()).unwrap().sites()[0].blocks.is_none());
    let mut value = sample();
    value["sites"][0]["blocked_networks"] = json!(["192.0.2.0/24", "2001:db8::/32"]);
    value["sites"][0]["blocked_countries"] = json!(["DE"]);
    value["sites"][0]["blocked_paths"] = json!(["/admin/**"]);
    let snapshot = read(&value).unwrap();
    let blocks = snapshot.sites()[0].blocks.as_deref().unwrap();
    assert!(blocks.networks.contains("192.0.2.1".parse().unwrap()));
    assert!(blocks.networks.contains("2001:db8::1".parse().unwrap()));
    assert!(blocks.countries.contains(*b"DE") && !blocks.countries.contains(*b"FR"));
    assert!(blocks.paths.contains("/admin/users") && !blocks.paths.contains("/"));
}

#[test]
fn a_living_site_wins_its_domain_over_a_destroyed_one() {
    for order in [[0, 1], [1, 0]] {
        let mut value = sample();
        let living = value["sites"][0].clone();
        let mut destroyed = living.clone();
        destroyed["site_id"] = json!(2);
        destroyed["state"] = json!("destroyed");
        destroyed["public_id"] = json!("00000000-0000-0000-0000-000000000002");
        let both = [living, destroyed];
        value["sites"] = json!([both[order[0]], both[order[1]]]);
        let snapshot = read(&value).unwrap();
        assert_eq!(snapshot.site_by_domain("example.com").unwrap().site_id, 1);
    }
}

#[test]
fn every_error_names_its_cause() {
    let broken = |change: &dyn Fn(&mut Value)| {
        let mut value = sample();
        change(&mut value);
        read(&value).unwrap_err()
    };
    assert!(matches!(Snapshot::from_json(b"{").unwrap_err(), SnapshotError::Json(_)));
    assert!(matches!(broken(&|v| v["sites"][0]["state"] = json!("gone")), SnapshotError::Json(_)));
    type Change = dyn Fn(&mut Value);
    let blocks = |error| SnapshotError::Blocks { site_id: 1, error };
    let cases: [(&Change, SnapshotError); 11] = [
        (&|v| v["sites"][0]["timezone"] = json!(1), SnapshotError::Timezone { site_id: 1 }),
        (&|v| v["timezones"][0]["days"] = json!([]), SnapshotError::Days { timezone: "Europe/Berlin".into() }),
        (
            &|v| v["timezones"][0]["days"] = json!([[5, "2026-10-25"], [5, "2026-10-26"]]),
            SnapshotError::Days { timezone: "Europe/Berlin".into() },
        ),
        (&|v| v["timezones"][0]["days"] = json!([[5, "2026-02-29"]]), SnapshotError::Date("2026-02-29".into())),
        (&|v| v["salts"] = json!({"today": "00"}), SnapshotError::Date("today".into())),
        (&|v| v["salts"] = json!({"2026-10-25": "00"}), SnapshotError::Salt { date: "2026-10-25".into() }),
        (&|v| v["sites"][0]["public_id"] = json!("1"), SnapshotError::PublicId { site_id: 1 }),
        (&|v| v["api_keys"][0]["hash"] = json!("zz"), SnapshotError::ApiKey),
        (&|v| v["sites"][0]["blocked_networks"] = json!(["203.0.113.9/64"]), blocks(BlockError::Network)),
        (&|v| v["sites"][0]["blocked_countries"] = json!(["Germany"]), blocks(BlockError::Country)),
        (&|v| v["sites"][0]["blocked_paths"] = json!(["no path"]), blocks(BlockError::Path)),
    ];
    for (change, expected) in cases {
        let error = broken(change);
        assert_eq!(error, expected);
        assert!(error.to_string().starts_with("snapshot: "));
        assert!(!error.to_string().contains("203"), "an error shows an address");
    }
}

#[test]
fn the_salt_is_that_of_the_sites_local_date() {
    let snapshot = read(&sample()).unwrap();
    let site = snapshot.site_by_domain("example.com").unwrap();
    let sunday = VisitorKey {
        salt: Salt::new([
            0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
        ]),
        foreign_date: None,
    };
    let monday = VisitorKey {
        salt: Salt::new([
            0xff, 0xee, 0xdd, 0xcc, 0xbb, 0xaa, 0x99, 0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11, 0x00,
        ]),
        foreign_date: None,
    };
    let foreign = |key: VisitorKey, date: &str| VisitorKey { foreign_date: days_of_date(date), ..key };
    let now_ms = utc_ms("2026-10-26T12:00:00Z");
    for (event, expected) in [
        ("2026-10-24T22:00:00Z", sunday),
        ("2026-10-25T22:59:59Z", sunday), // the 25th hour
        ("2026-10-25T23:00:00Z", monday),
        ("2026-10-26T22:59:59Z", monday),
        ("2026-10-26T23:00:00Z", foreign(monday, "2026-10-27")), // no salt yet: today's, with the date
        ("2026-10-27T22:59:59Z", foreign(monday, "2026-10-27")),
        ("2026-10-27T23:00:00Z", foreign(monday, "2026-10-28")), // after the listed days
        ("2026-10-24T21:59:59Z", foreign(monday, "2026-10-24")), // salt gone
        ("2026-10-23T22:00:00Z", foreign(monday, "2026-10-24")),
        ("2026-10-23T21:59:59Z", foreign(monday, "2026-10-23")), // before the listed days
        ("2026-10-22T22:00:00Z", foreign(monday, "2026-10-23")),
        ("2026-10-22T21:59:59Z", foreign(monday, "2026-10-22")),
    ] {
        assert_eq!(snapshot.visitor_key(site, utc_ms(event), now_ms), Some(expected), "{event}");
    }
    // A snapshot that was not renewed for days: the newest salt, told apart by the date.
    let late_ms = utc_ms("2026-10-30T12:00:00Z");
    assert_eq!(snapshot.visitor_key(site, late_ms, late_ms), Some(foreign(monday, "2026-10-30")));
}

#[test]
fn the_short_day_of_spring_belongs_to_one_date() {
    let mut value = sample();
    // New York put its clocks forward on 8 March 2026: 23 hours.
    let days = [
        ("2026-03-07", "2026-03-07T05:00:00Z"),
        ("2026-03-08", "2026-03-08T05:00:00Z"),
        ("2026-03-09", "2026-03-09T04:00:00Z"),
    ];
    value["timezones"][0]["days"] = days.iter().map(|(date, start)| json!([utc_ms(start) / 1_000, date])).collect();
    value["salts"] = json!({"2026-03-08": "00".repeat(16), "2026-03-09": "11".repeat(16)});
    let snapshot = read(&value).unwrap();
    let salt_at =
        |text: &str| snapshot.visitor_key(&snapshot.sites()[0], utc_ms(text), utc_ms("2026-03-09T12:00:00Z")).unwrap();
    assert_eq!(salt_at("2026-03-09T03:59:59Z").salt, Salt::new([0; 16]));
    assert_eq!(salt_at("2026-03-09T04:00:00Z").salt, Salt::new([0x11; 16]));
}

#[test]
fn without_any_salt_there_is_no_key() {
    let mut value = sample();
    value["salts"] = json!({});
    let snapshot = read(&value).unwrap();
    assert!(!snapshot.has_salt());
    assert_eq!(snapshot.visitor_key(&snapshot.sites()[0], 0, 0), None);
}

#[test]
fn dates_count_from_the_epoch() {
    for (date, days) in [
        ("1970-01-01", Some(0)),
        ("1969-12-31", Some(-1)),
        ("2000-02-29", Some(11_016)),
        ("2026-10-25", Some(20_751)),
        ("1900-02-29", None),
        ("2026-13-01", None),
        ("2026-00-10", None),
        ("2026-04-31", None),
        ("2026-4-31", None),
        ("+026-04-30", None),
        ("2026-04-3é", None),
    ] {
        assert_eq!(days_of_date(date), days, "{date}");
    }
    // Every day follows the one before.
    let mut expected = days_of_civil(1999, 12, 31).unwrap();
    for year in 2000..2101 {
        for month in 1..=12 {
            for day in 1..=31 {
                if let Some(days) = days_of_civil(year, month, day) {
                    assert_eq!(days, expected + 1);
                    expected = days;
                }
            }
        }
    }
}
