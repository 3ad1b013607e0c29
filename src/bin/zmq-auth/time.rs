//! Times in arguments: RFC 3339, a date, or a span from now.

use jiff::{SignedDuration, Timestamp, civil::Date, tz::TimeZone};

/// Reads a time, such as `2027-01-31T00:00:00Z`, `2027-01-31` (its beginning, UTC), or `30d` from now.
pub(crate) fn point(text: &str) -> Result<Timestamp, String> {
    if let Ok(time) = text.parse::<Timestamp>() {
        return Ok(time);
    }
    if let Ok(date) = text.parse::<Date>() {
        return TimeZone::UTC.to_timestamp(date.at(0, 0, 0, 0)).map_err(|error| error.to_string());
    }
    let far = || format!("{text} from now is beyond the year 9999");
    span(text).and_then(|span| Timestamp::now().checked_add(span).map_err(|_| far())).map_err(|_| {
        format!("{text:?} is not a time: write 2027-01-31T00:00:00Z, 2027-01-31, or 30d for 30 days from now")
    })
}

/// Reads a span of time, such as `5s`, `90m` or `30d`. A day has 24 hours.
pub(crate) fn span(text: &str) -> Result<SignedDuration, String> {
    let no_span = || format!("{text:?} is not a time span: write 5s, 90m, 12h or 30d");
    // `SignedDuration` itself can't parse days and weeks.
    let span: jiff::Span = text.parse().map_err(|_| no_span())?;
    let day = jiff::SpanRelativeTo::days_are_24_hours();
    let duration = span.to_duration(day).map_err(|_| no_span())?;
    if duration.is_negative() { Err(no_span()) } else { Ok(duration) }
}
