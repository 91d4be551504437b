//! How layers of settings lie upon each other, and how what is chosen reaches the service.
//!
//! It does not know which settings there are.
use std::{
    collections::{BTreeMap, BTreeSet},
    ops::RangeInclusive,
    time::Duration,
};

use model::Region;

use super::{
    kms::KmsLayer,
    values::{ByteCount, Ports, RegionPair, Seconds},
};

/// A value that may be absent in one layer and given in the one below.
pub(crate) trait Merge {
    /// This value, or else the one below.
    fn over(self, below: Self) -> Self;
}

impl<T> Merge for Option<T> {
    fn over(self, below: Self) -> Self {
        self.or(below)
    }
}

impl<T> Merge for Vec<T> {
    fn over(self, below: Self) -> Self {
        if self.is_empty() { below } else { self }
    }
}

impl<K, V> Merge for BTreeMap<K, V> {
    fn over(self, below: Self) -> Self {
        if self.is_empty() { below } else { self }
    }
}

impl Merge for KmsLayer {
    fn over(self, below: Self) -> Self {
        self.over(below)
    }
}

/// A value of a layer that sets one of the service's, where it was given.
pub(crate) trait Choose<T> {
    /// Sets it.
    fn choose(&self, to: &mut T);
}

impl Choose<bool> for Option<bool> {
    fn choose(&self, to: &mut bool) {
        *to = self.unwrap_or(*to);
    }
}

impl Choose<usize> for Option<u32> {
    fn choose(&self, to: &mut usize) {
        *to = self.map_or(*to, |count| count as usize);
    }
}

impl Choose<usize> for Option<ByteCount> {
    fn choose(&self, to: &mut usize) {
        *to = self.map_or(*to, |bytes| usize::try_from(bytes.0).unwrap_or(usize::MAX));
    }
}

impl Choose<Option<u64>> for Option<u32> {
    fn choose(&self, to: &mut Option<u64>) {
        *to = self.map(u64::from).or(*to);
    }
}

impl Choose<Option<u64>> for Option<ByteCount> {
    fn choose(&self, to: &mut Option<u64>) {
        *to = self.map(|bytes| bytes.0).or(*to);
    }
}

impl Choose<Duration> for Option<Seconds> {
    fn choose(&self, to: &mut Duration) {
        *to = self.map_or(*to, |seconds| Duration::from_secs(seconds.0));
    }
}

impl Choose<RangeInclusive<u16>> for Option<Ports> {
    fn choose(&self, to: &mut RangeInclusive<u16>) {
        if let Some(ports) = self {
            *to = ports.0.clone();
        }
    }
}

impl Choose<Region> for Option<Region> {
    fn choose(&self, to: &mut Region) {
        if let Some(region) = self {
            *to = region.clone();
        }
    }
}

impl Choose<BTreeSet<Region>> for Vec<Region> {
    fn choose(&self, to: &mut BTreeSet<Region>) {
        to.extend(self.iter().cloned());
    }
}

impl Choose<BTreeMap<Region, Region>> for Vec<RegionPair> {
    fn choose(&self, to: &mut BTreeMap<Region, Region>) {
        to.extend(self.iter().map(|pair| (pair.from.clone(), pair.to.clone())));
    }
}

impl Choose<Vec<String>> for Vec<String> {
    fn choose(&self, to: &mut Vec<String>) {
        to.extend(self.iter().cloned());
    }
}

/// A layer: a struct of settings, each merged with the one below, and some with what they choose.
macro_rules! layer {
    (
        $(#[$of_layer:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$of_setting:meta])* $setting:ident: $type:ty $(=> $($chosen:ident).+)?,)*
        }
    ) => {
        $(#[$of_layer])*
        $visibility struct $name {
            $($(#[$of_setting])* pub(crate) $setting: $type,)*
        }

        impl $name {
            fn merged(self, below: Self) -> Self {
                use $crate::settings::layers::Merge;
                Self { $($setting: Merge::over(self.$setting, below.$setting),)* }
            }

            fn choose(&self, to: &mut service::Settings) {
                use $crate::settings::layers::Choose;
                $($(Choose::choose(&self.$setting, &mut to.$($chosen).+);)?)*
            }
        }
    };
}

pub(super) use layer;
