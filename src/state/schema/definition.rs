//! The macro that structs and enums are defined in to have a schema.

/// Defines structs and enums together with their [schemas](crate::state::StateSchema), for use in state.
///
/// The definition is passed on as it is, attributes and all, and the schema is read off it: the two cannot differ, whatever
/// is added, renamed or moved later.
///
/// ```
/// use floodmark::state::SchemaText;
/// use rkyv::{Archive, Deserialize, Serialize};
///
/// floodmark::state_schema! {
///     /// Shares of one company.
///     #[derive(Clone, Debug, PartialEq, Archive, Deserialize, Serialize)]
///     pub struct Trade {
///         /// In euros.
///         pub price: f64,
///         pub size: u32,
///     }
///
///     #[derive(Archive, Deserialize, Serialize)]
///     enum Order {
///         Market,
///         Limit { price: f64 },
///         Basket(Vec<Trade>),
///     }
/// }
///
/// assert_eq!(SchemaText::of::<Trade>(), "struct { price: f64, size: u32 }");
/// assert_eq!(
///     SchemaText::of::<Order>(),
///     "enum { Market, Limit { price: f64 }, Basket (list<struct { price: f64, size: u32 }>) }"
/// );
/// ```
///
/// Type parameters are taken by name alone, `struct Pair<A, B> { ... }`; bounds and lifetimes are not. An attribute of a
/// field that could give it another archive than that of its type is refused:
///
/// ```compile_fail
/// floodmark::state_schema! {
///     #[derive(rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
///     struct Account {
///         #[rkyv(with = rkyv::with::AsBox)]
///         balance: i64,
///     }
/// }
/// ```
///
/// So is a field of a type that has no schema:
///
/// ```compile_fail
/// #[derive(rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
/// struct Cents(i64);
///
/// floodmark::state_schema! {
///     #[derive(rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
///     struct Account {
///         balance: Cents,
///     }
/// }
/// ```
///
/// And a type without a schema cannot be kept in state:
///
/// ```compile_fail
/// #[derive(rkyv::Archive, rkyv::Deserialize, rkyv::Serialize)]
/// struct Cents(i64);
///
/// type Balances = floodmark::state::ValueState<u64, Cents>;
/// fn balances(_: Balances) {}
/// ```
///
/// An attribute of the type as a whole can change its archive too (`#[rkyv(as = ...)]`): what is changed there needs a
/// [new version](crate::state::StateSpec::with_version).
#[macro_export]
macro_rules! state_schema {
    () => {};
    (@attribute rkyv $($rest:tt)*) => {
        ::core::compile_error!("the schema of a field must say how it is archived: rkyv attributes are not taken");
    };
    (@attribute cfg $($rest:tt)*) => {
        ::core::compile_error!("the schema must be the same in every build: cfg attributes are not taken");
    };
    (@attribute cfg_attr $($rest:tt)*) => {
        ::core::compile_error!("the schema must be the same in every build: cfg_attr attributes are not taken");
    };
    (@attribute $($rest:tt)*) => {};
    (@fields) => {
        $crate::state::SchemaFields::Unit
    };
    (@fields ($($type:ty),*)) => {
        $crate::state::SchemaFields::Tuple(&[$(<$type as $crate::state::StateSchema>::describe),*])
    };
    (@fields {$($field:ident: $type:ty),*}) => {
        $crate::state::SchemaFields::Named(&[
            $((::core::stringify!($field), <$type as $crate::state::StateSchema>::describe)),*
        ])
    };
    (
        $(#[$($attribute:tt)*])*
        $visibility:vis struct $name:ident $(<$($parameter:ident),+ $(,)?>)? {
            $($(#[$($field_attribute:tt)*])* $field_visibility:vis $field:ident: $type:ty),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $($($crate::state_schema! { @attribute $($field_attribute)* })*)*
        $(#[$($attribute)*])*
        $visibility struct $name $(<$($parameter),+>)? {
            $($(#[$($field_attribute)*])* $field_visibility $field: $type),*
        }
        impl $(<$($parameter: $crate::state::StateSchema),+>)? $crate::state::StateSchema
            for $name $(<$($parameter),+>)?
        {
            fn describe(schema: &mut $crate::state::SchemaText) {
                schema.structure::<Self>($crate::state_schema!(@fields {$($field: $type),*}));
            }
        }
        $crate::state_schema! { $($rest)* }
    };
    (
        $(#[$($attribute:tt)*])*
        $visibility:vis struct $name:ident $(<$($parameter:ident),+ $(,)?>)? (
            $($(#[$($field_attribute:tt)*])* $field_visibility:vis $type:ty),* $(,)?
        );
        $($rest:tt)*
    ) => {
        $($($crate::state_schema! { @attribute $($field_attribute)* })*)*
        $(#[$($attribute)*])*
        $visibility struct $name $(<$($parameter),+>)? (
            $($(#[$($field_attribute)*])* $field_visibility $type),*
        );
        impl $(<$($parameter: $crate::state::StateSchema),+>)? $crate::state::StateSchema
            for $name $(<$($parameter),+>)?
        {
            fn describe(schema: &mut $crate::state::SchemaText) {
                schema.structure::<Self>($crate::state_schema!(@fields ($($type),*)));
            }
        }
        $crate::state_schema! { $($rest)* }
    };
    (
        $(#[$($attribute:tt)*])*
        $visibility:vis struct $name:ident;
        $($rest:tt)*
    ) => {
        $(#[$($attribute)*])*
        $visibility struct $name;
        impl $crate::state::StateSchema for $name {
            fn describe(schema: &mut $crate::state::SchemaText) {
                schema.structure::<Self>($crate::state_schema!(@fields));
            }
        }
        $crate::state_schema! { $($rest)* }
    };
    (
        $(#[$($attribute:tt)*])*
        $visibility:vis enum $name:ident $(<$($parameter:ident),+ $(,)?>)? {
            $(
                $(#[$($variant_attribute:tt)*])*
                $variant:ident
                $(($($item:ty),* $(,)?))?
                $({$($(#[$($field_attribute:tt)*])* $field:ident: $type:ty),* $(,)?})?
            ),* $(,)?
        }
        $($rest:tt)*
    ) => {
        $($($crate::state_schema! { @attribute $($variant_attribute)* })*)*
        $($($($($crate::state_schema! { @attribute $($field_attribute)* })*)*)?)*
        $(#[$($attribute)*])*
        $visibility enum $name $(<$($parameter),+>)? {
            $(
                $(#[$($variant_attribute)*])*
                $variant
                $(($($item),*))?
                $({$($(#[$($field_attribute)*])* $field: $type),*})?
            ),*
        }
        impl $(<$($parameter: $crate::state::StateSchema),+>)? $crate::state::StateSchema
            for $name $(<$($parameter),+>)?
        {
            fn describe(schema: &mut $crate::state::SchemaText) {
                schema.enumeration::<Self>(&[
                    $((
                        ::core::stringify!($variant),
                        $crate::state_schema!(@fields $(($($item),*))? $({$($field: $type),*})?),
                    )),*
                ]);
            }
        }
        $crate::state_schema! { $($rest)* }
    };
}
