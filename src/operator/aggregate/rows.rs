//! The state of an aggregate operator as rows of named columns, with no other knowledge than what a snapshot says.

use serde_json::Value;

use super::function::{Function, parse_call};
use super::schema::AggregateSchema;
use super::state::{NUMBERS, TEXTS};
use crate::error::{Error, ErrorKind, Result};
use crate::model::ColumnType;
use crate::operator::column_value::ColumnValue;
use crate::operator::columns::canonical_float;
use crate::state::rows::RowValue;

/// What stands behind the name of an aggregate in the column that says how many values it has seen.
const COUNT_SUFFIX: &str = ".count";
/// The same for the sum that an average is made of.
const SUM_SUFFIX: &str = ".sum";

/// How the keys and the values of an aggregate operator's state are shown, column by column.
#[derive(Clone, Debug)]
pub(in crate::operator) struct AggregateRows {
    /// The names and the types of the key's columns.
    pub(in crate::operator) key: Vec<(String, ColumnType)>,
    /// The column of the map key, if there is one.
    pub(in crate::operator) map_key: Option<(String, ColumnType)>,
    /// The aggregates that are in this state.
    aggregates: Vec<ShownAggregate>,
    /// Whether the state holds the texts, and not the numbers.
    texts: bool,
}

/// An aggregate as a snapshot knows it.
#[derive(Clone, Debug)]
struct ShownAggregate {
    /// The call, as in `max(delay float64)`: results have no other name in a snapshot.
    call: String,
    function: Function,
    /// The type of the column that it is over; nothing for `count()`.
    input: Option<ColumnType>,
    output: ColumnType,
}

impl AggregateRows {
    /// How the state `state` is shown whose operator keeps `item` in its snapshots; nothing when that is not an aggregate's,
    /// or the state is another one.
    pub(in crate::operator) fn new(state: &str, item: &Value) -> Option<Self> {
        let texts = match state {
            NUMBERS => false,
            TEXTS => true,
            _ => return None,
        };
        let schema: AggregateSchema = serde_json::from_value(item.get("schema")?.clone()).ok()?;
        let aggregates = schema.aggregates.iter();
        let aggregates: Vec<ShownAggregate> = aggregates
            .map(|call| ShownAggregate::new(call))
            .collect::<Option<_>>()?;
        let is_here = |shown: &ShownAggregate| (shown.output == ColumnType::String) == texts;
        Some(Self {
            key: schema
                .key
                .iter()
                .map(|column| split_column(column))
                .collect::<Option<_>>()?,
            map_key: match &schema.map_key {
                Some(column) => Some(split_column(column)?),
                None => None,
            },
            aggregates: aggregates.into_iter().filter(is_here).collect(),
            texts,
        })
    }

    /// The names and the types of a value's columns.
    pub(in crate::operator) fn value_columns(&self) -> Vec<(String, ColumnType)> {
        self.aggregates
            .iter()
            .flat_map(|aggregate| aggregate.columns(self.texts))
            .collect()
    }

    /// The names of a value's columns.
    pub(in crate::operator) fn value_names(&self) -> Vec<String> {
        let columns = self.value_columns().into_iter();
        columns.map(|(name, _)| name).collect()
    }

    /// The columns of a value, of which `stored` is what the archive holds: two numbers for each aggregate, or a text.
    ///
    /// # Errors
    /// [`ErrorKind::Corrupt`] when it does not hold as much.
    pub(in crate::operator) fn show_value(&self, stored: RowValue) -> Result<RowValue> {
        let RowValue::List(stored) = stored else {
            return Err(damaged());
        };
        if self.texts {
            if stored.len() != self.aggregates.len() {
                return Err(damaged());
            }
            let calls = self
                .aggregates
                .iter()
                .map(|aggregate| aggregate.call.clone());
            return Ok(RowValue::Record(calls.zip(stored).collect()));
        }
        if stored.len() != 2 * self.aggregates.len() {
            return Err(damaged());
        }
        let mut columns = Vec::new();
        for (aggregate, pair) in self.aggregates.iter().zip(stored.chunks_exact(2)) {
            let values = aggregate.show(number(&pair[0])?, number(&pair[1])?);
            let names = aggregate.columns(false).into_iter().map(|(name, _)| name);
            columns.extend(names.zip(values));
        }
        Ok(RowValue::Record(columns))
    }

    /// What the archive is to hold for a value of these columns.
    ///
    /// # Errors
    /// [`ErrorKind::Data`] when a column is missing or wrong.
    pub(in crate::operator) fn store_value(&self, value: &Value) -> Result<Value> {
        let names = self.value_names();
        let columns = value
            .as_object()
            .ok_or_else(|| wrong(format!("an object is needed, not {value}")))?;
        if let Some(unknown) = columns.keys().find(|name| !names.contains(name)) {
            let names = names.join(", ");
            return Err(wrong(format!(
                "there is no column \"{unknown}\" (there are {names})"
            )));
        }
        let column = |name: &str| {
            columns
                .get(name)
                .ok_or_else(|| wrong(format!("the column \"{name}\" is missing")))
        };
        let mut stored = Vec::new();
        for aggregate in &self.aggregates {
            if self.texts {
                stored.push(column(&aggregate.call)?.clone());
                continue;
            }
            let (bits, count) = aggregate.store(&column)?;
            stored.extend([Value::from(bits), Value::from(count)]);
        }
        Ok(Value::Array(stored))
    }
}

impl ShownAggregate {
    fn new(call: &str) -> Option<Self> {
        let (function, column) = parse_call(call).ok()?;
        let input = match column {
            Some(column) => Some(split_column(column)?.1),
            None => None,
        };
        let output = match input {
            Some(input) => function.output_type(input)?,
            None => ColumnType::Int64,
        };
        Some(Self {
            call: call.to_owned(),
            function,
            input,
            output,
        })
    }

    /// The columns that it has: its result, and what else its state consists of.
    fn columns(&self, text: bool) -> Vec<(String, ColumnType)> {
        let column = |suffix: &str, column_type| (format!("{}{suffix}", self.call), column_type);
        let count = column(COUNT_SUFFIX, ColumnType::Int64);
        match self.function {
            _ if text => vec![column("", self.output)],
            Function::Count => vec![column("", ColumnType::Int64)],
            Function::Avg => vec![
                column("", ColumnType::Float64),
                column(SUM_SUFFIX, self.sum_type()),
                count,
            ],
            _ => vec![column("", self.output), count],
        }
    }

    /// The values of its columns.
    fn show(&self, bits: u64, count: u64) -> Vec<RowValue> {
        let counted = RowValue::Integer(i128::from(count));
        match self.function {
            Function::Count => vec![counted],
            Function::Avg => {
                let sum = self.sum_type();
                let average = match count {
                    0 => RowValue::Null,
                    _ => RowValue::from_float(self.average(bits, count)),
                };
                vec![average, ColumnValue::from_bits(sum, bits).show(), counted]
            }
            _ if count == 0 => vec![RowValue::Null, counted],
            _ => vec![ColumnValue::from_bits(self.output, bits).show(), counted],
        }
    }

    /// What lies in the state for the values of its columns.
    fn store<'v>(&self, column: &impl Fn(&str) -> Result<&'v Value>) -> Result<(u64, u64)> {
        let counted = |name: &str| {
            let value = column(name)?;
            let count = value.as_u64();
            count.ok_or_else(|| wrong(format!("{name}: a count is needed, not {value}")))
        };
        if self.function == Function::Count {
            return Ok((0, counted(&self.call)?));
        }
        let count = counted(&format!("{}{COUNT_SUFFIX}", self.call))?;
        let (name, stored_type) = match self.function {
            Function::Avg => (format!("{}{SUM_SUFFIX}", self.call), self.sum_type()),
            _ => (self.call.clone(), self.output),
        };
        let value = column(&name)?;
        let context = |error: Error| error.context(&name);
        let bits = ColumnValue::parse(stored_type, value)
            .map_err(context)?
            .to_bits();
        let bits = match (bits, count) {
            (Some(bits), _) => self.canonical(bits),
            (None, 0) => 0,
            (None, _) => {
                return Err(wrong(format!("it is null, and its count is {count}")).context(&name));
            }
        };
        if self.function == Function::Avg {
            self.check_average(bits, count, column(&self.call)?)?;
        }
        Ok((bits, count))
    }

    /// The smallest and the greatest number are kept in the form in which numbers are compared.
    fn canonical(&self, bits: u64) -> u64 {
        match (self.function, self.output) {
            (Function::Min | Function::Max, ColumnType::Float64) => {
                canonical_float(f64::from_bits(bits)).to_bits()
            }
            _ => bits,
        }
    }

    /// An average is not kept: it must be that of the sum and the count, lest a change of it alone be lost without a word.
    fn check_average(&self, bits: u64, count: u64, given: &Value) -> Result<()> {
        let expected = match count {
            0 => RowValue::Null,
            _ => RowValue::from_float(self.average(bits, count)),
        };
        if ColumnValue::parse(ColumnType::Float64, given)?.show() == expected {
            return Ok(());
        }
        Err(wrong(format!(
            "{}: it is {given}, and {} follows from the sum and the count",
            self.call,
            expected.to_json()
        )))
    }

    fn sum_type(&self) -> ColumnType {
        self.input.unwrap_or(ColumnType::Int64)
    }

    fn average(&self, bits: u64, count: u64) -> f64 {
        let sum = match self.sum_type() {
            ColumnType::Float64 => f64::from_bits(bits),
            _ => bits as i64 as f64,
        };
        sum / count as f64
    }
}

/// A column as the schema names it, as in `delay float64`.
fn split_column(text: &str) -> Option<(String, ColumnType)> {
    let (name, type_name) = text.rsplit_once(' ')?;
    let mut types = ColumnType::ALL.into_iter();
    let column_type = types.find(|column_type| column_type.to_string() == type_name)?;
    Some((name.to_owned(), column_type))
}

fn number(value: &RowValue) -> Result<u64> {
    match value {
        RowValue::Integer(number) => u64::try_from(*number).map_err(|_| damaged()),
        _ => Err(damaged()),
    }
}

fn damaged() -> Error {
    Error::new(
        ErrorKind::Corrupt,
        "a stored aggregate does not hold what the snapshot says",
    )
}

fn wrong(message: String) -> Error {
    Error::new(ErrorKind::Data, message)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn rows(state: &str) -> AggregateRows {
        let item = json!({ "schema": {
            "key": ["origin string"],
            "map_key": null,
            "aggregates": ["count()", "avg(delay float64)", "max(carrier string)", "first(at timestamp)"],
        }});
        AggregateRows::new(state, &item).unwrap()
    }

    fn list(numbers: &[u64]) -> RowValue {
        let number = |number: &u64| RowValue::Integer(i128::from(*number));
        RowValue::List(numbers.iter().map(number).collect())
    }

    #[test]
    fn what_is_shown_of_a_value_makes_the_same_value() {
        let stored = [0, 3, 4.5_f64.to_bits(), 2, 1_357_380_000_250, 1];
        let shown = rows(NUMBERS).show_value(list(&stored)).unwrap().to_json();
        let expected = "{\"count()\":3,\"avg(delay float64)\":2.25,\"avg(delay float64).sum\":4.5,\
                        \"avg(delay float64).count\":2,\"first(at timestamp)\":\"2013-01-05T10:00:00.25Z\",\
                        \"first(at timestamp).count\":1}";
        assert_eq!(shown, expected);
        let shown: Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(rows(NUMBERS).store_value(&shown).unwrap(), json!(stored));
        let texts = RowValue::List(vec![RowValue::Text("UA".to_owned())]);
        let shown = rows(TEXTS).show_value(texts).unwrap().to_json();
        assert_eq!(shown, "{\"max(carrier string)\":\"UA\"}");
        let shown = serde_json::from_str(&shown).unwrap();
        assert_eq!(rows(TEXTS).store_value(&shown).unwrap(), json!(["UA"]));
    }

    #[test]
    fn values_that_contradict_themselves_are_refused() {
        let good = json!({
            "count()": 3, "avg(delay float64)": null, "avg(delay float64).sum": 0.0,
            "avg(delay float64).count": 0, "first(at timestamp)": null, "first(at timestamp).count": 0,
        });
        assert!(rows(NUMBERS).store_value(&good).is_ok());
        let check = |name: &str, value: Value, expected: &str| {
            let mut wrong = good.clone();
            wrong[name] = value;
            let error = rows(NUMBERS).store_value(&wrong).unwrap_err();
            assert!(error.to_string().contains(expected), "{error}");
        };
        check("count()", json!(-1), "a count is needed");
        check(
            "avg(delay float64)",
            json!(7.0),
            "follows from the sum and the count",
        );
        check(
            "first(at timestamp).count",
            json!(2),
            "it is null, and its count is 2",
        );
        check(
            "first(at timestamp)",
            json!("noon"),
            "a value of type timestamp is needed",
        );
        check("last(at timestamp)", json!(1), "there is no column");
        let damaged = rows(NUMBERS).show_value(list(&[1, 2, 3])).unwrap_err();
        assert_eq!(damaged.kind(), ErrorKind::Corrupt);
    }
}
