//! IMF-fixdate (RFC 9110 §5.6.7), the only form a server may send: `Sun, 06 Nov 1994 08:49:37 GMT`.

/// Bytes of an IMF-fixdate.
pub const DATE_BYTES: usize = 29;

const WEEKDAYS: [&[u8; 3]; 7] = [b"Thu", b"Fri", b"Sat", b"Sun", b"Mon", b"Tue", b"Wed"]; // 1970-01-01 was a Thursday
const MONTHS: [&[u8; 3]; 12] =
    [b"Jan", b"Feb", b"Mar", b"Apr", b"May", b"Jun", b"Jul", b"Aug", b"Sep", b"Oct", b"Nov", b"Dec"];

/// Formats seconds since the epoch. Times outside the years 1970–9999 are clamped to them: the form has four digits.
#[must_use]
pub fn imf_fixdate(epoch_s: i64) -> [u8; DATE_BYTES] {
    const LAST_SECOND_OF_9999: i64 = 253_402_300_799;
    let epoch_s = epoch_s.clamp(0, LAST_SECOND_OF_9999);
    let (days, second_of_day) = (epoch_s / 86_400, epoch_s % 86_400);
    // Days → civil date by the March-based year (its leap day is its last day), eras of 400 years.
    let shifted = days + 719_468;
    let era = shifted / 146_097;
    let day_of_era = shifted % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let march_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * march_month + 2) / 5 + 1;
    let month = if march_month < 10 { march_month + 3 } else { march_month - 9 };
    let year = era * 400 + year_of_era + i64::from(month <= 2);

    let name = |names: &[&[u8; 3]], index: i64| -> [u8; 3] {
        usize::try_from(index).ok().and_then(|index| names.get(index)).map_or(*b"???", |name| **name)
    };
    let [weekday_a, weekday_b, weekday_c] = name(&WEEKDAYS, days % 7);
    let [month_a, month_b, month_c] = name(&MONTHS, month - 1);
    let [day_tens, day_ones] = two_digits(day);
    let [century_tens, century_ones] = two_digits(year / 100);
    let [year_tens, year_ones] = two_digits(year % 100);
    let [hour_tens, hour_ones] = two_digits(second_of_day / 3_600);
    let [minute_tens, minute_ones] = two_digits(second_of_day / 60 % 60);
    let [second_tens, second_ones] = two_digits(second_of_day % 60);
    [
        weekday_a,
        weekday_b,
        weekday_c,
        b',',
        b' ',
        day_tens,
        day_ones,
        b' ',
        month_a,
        month_b,
        month_c,
        b' ',
        century_tens,
        century_ones,
        year_tens,
        year_ones,
        b' ',
        hour_tens,
        hour_ones,
        b':',
        minute_tens,
        minute_ones,
        b':',
        second_tens,
        second_ones,
        b' ',
        b'G',
        b'M',
        b'T',
    ]
}

/// The last two decimal digits of a non-negative number.
fn two_digits(value: i64) -> [u8; 2] {
    let digit = |value: i64| u8::try_from(value % 10).map_or(b'0', |digit| b'0' + digit);
    [digit(value / 10), digit(value)]
}

#[cfg(test)]
mod tests {
    use super::imf_fixdate;

    #[test]
    fn known_dates() {
        for (epoch_s, text) in [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (1_735_689_599, "Tue, 31 Dec 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (253_402_300_799, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (i64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
            (-1, "Thu, 01 Jan 1970 00:00:00 GMT"),
        ] {
            assert_eq!(String::from_utf8_lossy(&imf_fixdate(epoch_s)), text);
        }
    }
}
