//! What the mobile SDK of Open Wearables sends: `{provider, data: {records: […],
//! sleep: […], workouts: […]}}`, of `HealthKit`, Health Connect and Samsung Health.

use serde_json::value::RawValue;

use crate::health::date::Sent;
use crate::health::fact::{Context, Facts, Refusal, What};
use crate::health::format::days::{Days, Reading};
use crate::health::format::lists::{self, refusal, refused};
use crate::health::format::sent::{self, Period};
use crate::health::format::stages::{Nights, Span, Stage};
use crate::health::format::taken::Taken;
use crate::health::format::units::Quantity;
use crate::health::item::{Item, Wrong};
use crate::health::source::Source;

mod kinds;
mod workout;

const OFFSETS: [&str; 1] = ["zoneOffset"];

pub(super) fn read(body: &str, context: &Context) -> Result<Facts, Refusal> {
    let body = lists::body(body, &["provider", "data"])?;
    let provider = sent::there(body.text("provider").map_err(refused)?, "provider");
    let source = match provider.map_err(refused)?.as_ref() {
        "apple" => Source::AppleHealth,
        _ => Source::HealthConnect,
    };
    let data = body.get("data").ok_or_else(|| refusal("data", "required"))?;
    let mut request = Request {
        context,
        source,
        taken: Taken::default(),
        days: Days::new(source, "open_wearables"),
        nights: Nights::new(source),
    };
    let mut elements = 0;
    lists::fields(data.get(), |name, raw| {
        let take = Request::of_list(name);
        let Some(count) = lists::count(raw) else {
            let is_wrong = take.is_some() && raw.get() != "null";
            let wrong = || refusal(&format!("data.{name}"), "a list is required");
            return if is_wrong { Err(wrong()) } else { Ok(()) };
        };
        elements += count;
        match take {
            Some(take) => lists::each(raw, |index, raw| {
                if let Err(wrong) = take(&mut request, raw) {
                    request.taken.wrong(name, index, wrong);
                }
            }),
            None => request.taken.ignore(count),
        }
        Ok(())
    })
    .map_err(|Refusal { field, reason }| match field.as_str() {
        "" => refusal("data", reason),
        _ => Refusal { field, reason },
    })?;
    if elements == 0 {
        return Err(refusal("data.records", "a list of items is required"));
    }
    request.days.finish(&mut request.taken);
    request.nights.finish(context, &mut request.taken);
    Ok(request.taken.finish())
}

/// What was read of a request so far.
struct Request<'c> {
    context: &'c Context,
    source: Source,
    taken: Taken,
    days: Days,
    nights: Nights,
}

type Take<'c> = fn(&mut Request<'c>, &RawValue) -> Result<(), Wrong>;

impl<'c> Request<'c> {
    fn of_list(name: &str) -> Option<Take<'c>> {
        match name {
            "records" => Some(Self::record),
            "sleep" => Some(Self::stage),
            "workouts" => Some(Self::workout),
            _ => None,
        }
    }

    fn workout(&mut self, raw: &RawValue) -> Result<(), Wrong> {
        let activity = workout::read(raw, self.source, self.context)?;
        self.taken.fact(1, What::Activity(Box::new(activity)));
        Ok(())
    }

    fn record(&mut self, raw: &RawValue) -> Result<(), Wrong> {
        let item = pick(raw, &["type", "value", "unit"])?;
        let word = sent::there(item.text("type")?, "type")?;
        let Some((field, is_sum)) = kinds::of(&word) else {
            self.taken.ignore(1);
            return Ok(());
        };
        let number = sent::there(item.number_or_text("value")?, "value")?;
        let unit = item.text("unit")?.unwrap_or_default();
        let factor = Quantity::of(field).and_then(|quantity| quantity.factor(&unit));
        let factor = factor.ok_or_else(|| Wrong::new("unit", "a known unit is required"))?;
        let reading = Reading { field, name: "value", number: number * factor };
        if is_sum {
            let key = sent::span_key(&item, "startDate", "endDate")?;
            let period = period(&item, self.context)?;
            let (origin, _) = origin(&item)?;
            return self.days.add(reading, (period.date, &origin), key, 1);
        }
        let at = sent::there(time(&item, "startDate")?, "startDate")?.at_most(self.context.now);
        self.days.tell(reading, sent::day_of(at, "startDate", self.context)?, at)
    }

    fn stage(&mut self, raw: &RawValue) -> Result<(), Wrong> {
        let item = pick(raw, &["stage"])?;
        let word = sent::there(item.id("stage")?, "stage")?;
        let period = period(&item, self.context)?;
        let (origin, device) = origin(&item)?;
        match Stage::of(self.source, &word) {
            Some(stage) => {
                let span = Span::new(stage, &period, "endDate")?;
                self.nights.add(&origin, &[device.as_deref().unwrap_or_default()], span);
            }
            None => self.taken.ignore(1),
        }
        Ok(())
    }
}

fn pick<'a>(raw: &'a RawValue, names: &[&str]) -> Result<Item<'a>, Wrong> {
    let shared = ["startDate", "endDate", "source"];
    Item::pick(raw.get(), |name| {
        names.contains(&name) || shared.contains(&name) || OFFSETS.contains(&name)
    })
}

fn time(item: &Item<'_>, name: &str) -> Result<Option<Sent>, Wrong> {
    let offset_s = sent::offset_s(item, &OFFSETS)?;
    Ok(sent::time(item, name)?.map(|time| time.with_offset(offset_s)))
}

fn period(item: &Item<'_>, context: &Context) -> Result<Period, Wrong> {
    let start = (time(item, "startDate")?, "startDate");
    Period::new(start, (time(item, "endDate")?, "endDate"), context)
}

/// Which app on which product measured, and the device's name.
fn origin(item: &Item<'_>) -> Result<(String, Option<String>), Wrong> {
    const NAMES: [&str; 6] =
        ["bundleIdentifier", "appId", "productType", "deviceModel", "deviceName", "name"];
    let Some(raw) = item.get("source") else { return Ok((String::new(), None)) };
    let wrong = |wrong: Wrong| Wrong::new("source", wrong.reason);
    let source = lists::item(raw, &NAMES).map_err(wrong)?;
    let first = |names: [&str; 2]| {
        let texts = names.map(|name| sent::device(&source, name));
        let [one, other] = texts;
        Ok(one?.or(other?))
    };
    let bundle = first(["bundleIdentifier", "appId"]).map_err(wrong)?.unwrap_or_default();
    let product = first(["productType", "deviceModel"]).map_err(wrong)?.unwrap_or_default();
    let device = first(["deviceName", "name"]).map_err(wrong)?;
    Ok((format!("{bundle} {product}").trim().to_owned(), device))
}
