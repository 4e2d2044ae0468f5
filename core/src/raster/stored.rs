//! Values as a raster stores them: what is nodata, and how a filled value becomes one of them.

/// A pixel value of any type that scenes are stored in.
pub trait StoredValue: Copy + Default {
    /// The value in the units of the scene, for the network.
    fn to_f32(self) -> f32;
    /// The stored value nearest to `fill`, which is in f64 so that an encoding's shift moves no
    /// value over a half: rounded half away from zero, kept within the type's range, and moved
    /// to the next representable value if it would be `nodata`.
    ///
    /// `fill` must not be NaN.
    fn from_fill(fill: f64, nodata: Option<Self>) -> Self;
    /// The nodata value of a band in this type; `None` if it can never occur in it.
    fn nodata(value: f64) -> Option<Self>;
    /// Whether this is the nodata value (NaN is NaN whatever its bits).
    fn is_nodata(self, nodata: Option<Self>) -> bool;
    /// Neither NaN nor infinite, also as f32: what the network cannot be told is no data.
    fn is_finite_value(self) -> bool;
    /// Equal to the last bit, so that NaN equals the same NaN and 0 differs from -0.
    fn same_bits(self, other: Self) -> bool;
}

macro_rules! native_integer {
    ($($T:ty),*) => {$(
        impl StoredValue for $T {
            fn to_f32(self) -> f32 {
                self as f32
            }

            fn from_fill(fill: f64, nodata: Option<Self>) -> Self {
                // f64 holds every 32-bit integer; the cast saturates at the type's range.
                let value = fill.round() as $T;
                if nodata != Some(value) {
                    return value;
                }
                let up = fill >= value as f64;
                match (value.checked_add(1), value.checked_sub(1)) {
                    (Some(above), Some(below)) => if up { above } else { below },
                    (Some(only), None) | (None, Some(only)) => only,
                    (None, None) => value,
                }
            }

            fn nodata(value: f64) -> Option<Self> {
                let stored = value as $T;
                (stored as f64 == value).then_some(stored)
            }

            fn is_nodata(self, nodata: Option<Self>) -> bool {
                nodata == Some(self)
            }

            fn is_finite_value(self) -> bool {
                true
            }

            fn same_bits(self, other: Self) -> bool {
                self == other
            }
        }
    )*};
}

macro_rules! native_float {
    ($($T:ty),*) => {$(
        impl StoredValue for $T {
            fn to_f32(self) -> f32 {
                self as f32
            }

            fn from_fill(fill: f64, nodata: Option<Self>) -> Self {
                let (least, most) = (f64::from(f32::MIN), f64::from(f32::MAX));
                let value = <$T>::from(fill.clamp(least, most) as f32);
                if !value.is_nodata(nodata) {
                    return value;
                }
                if value < <$T>::MAX { value.next_up() } else { value.next_down() }
            }

            fn nodata(value: f64) -> Option<Self> {
                Some(value as $T)
            }

            fn is_nodata(self, nodata: Option<Self>) -> bool {
                nodata.is_some_and(|nodata| self == nodata || (self.is_nan() && nodata.is_nan()))
            }

            fn is_finite_value(self) -> bool {
                (self as f32).is_finite()
            }

            fn same_bits(self, other: Self) -> bool {
                self.to_bits() == other.to_bits()
            }
        }
    )*};
}

native_integer!(u8, i8, u16, i16, u32, i32);
native_float!(f32, f64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_rounded_and_kept_in_range() {
        assert_eq!(u8::from_fill(2.5, None), 3);
        assert_eq!(u8::from_fill(-7.0, None), 0);
        assert_eq!(u8::from_fill(300.0, None), 255);
        assert_eq!(i16::from_fill(-2.5, None), -3);
        assert_eq!(i16::from_fill(-1e9, None), i16::MIN);
        assert_eq!(u16::from_fill(70_000.0, None), u16::MAX);
        assert_eq!(u32::from_fill(f64::MAX, None), u32::MAX);
        assert_eq!(i32::from_fill(f64::INFINITY, None), i32::MAX);
        assert_eq!(f32::from_fill(f64::INFINITY, None), f32::MAX);
        assert_eq!(f64::from_fill(0.1, None), f64::from(0.1_f32));
    }

    #[test]
    fn a_fill_never_becomes_nodata() {
        assert_eq!(u16::from_fill(0.2, Some(0)), 1);
        assert_eq!(u16::from_fill(-3.0, Some(0)), 1);
        assert_eq!(u8::from_fill(400.0, Some(255)), 254);
        assert_eq!(i16::from_fill(-9999.3, Some(-9999)), -10_000);
        assert_eq!(i16::from_fill(-9998.7, Some(-9999)), -9998);
        let next = f32::from_fill(-9999.0, Some(-9999.0));
        assert!(next != -9999.0 && (next + 9999.0).abs() < 0.01);
        assert_eq!(
            f32::from_fill(f32::MAX.into(), Some(f32::MAX)),
            f32::MAX.next_down()
        );
        assert_eq!(f64::from_fill(1.0, Some(f64::NAN)), 1.0);
    }

    /// For any fill and any nodata value: what is stored is not nodata, and it is the nearest
    /// value of the type or the one beside it.
    #[test]
    fn no_fill_of_any_size_becomes_nodata() {
        fn check<T: StoredValue + PartialEq>(
            bits: u64,
            low: f64,
            high: f64,
            value: impl Fn(T) -> f64,
        ) {
            let fill = f32::from_bits(bits as u32);
            if fill.is_nan() {
                return;
            }
            // Near the fill, where the two are likely to meet, or anywhere.
            let near = f64::from(fill).round() + (bits >> 32 & 3) as f64 - 1.0;
            let anywhere = (bits >> 34) as u16 as f64;
            for nodata in [near, anywhere, low, high, f64::NAN] {
                let nodata = T::nodata(nodata);
                let stored = T::from_fill(fill.into(), nodata);
                assert!(!stored.is_nodata(nodata), "{fill}");
                let wanted = f64::from(fill).clamp(low, high);
                let step = 1.0 + wanted.abs() * f64::from(f32::EPSILON);
                assert!((value(stored) - wanted).abs() <= 1.5 * step, "{fill}");
            }
        }
        let mut state = 1u64;
        for round in 0..200_000u64 {
            state = state
                .wrapping_mul(0x5851_F42D_4C95_7F2D)
                .wrapping_add(round);
            let mut bits = state ^ state >> 29;
            if round % 2 == 0 {
                // Half of them in the range of 16 bits.
                let small = (bits % 131_072) as f32 / 2.0 - 1000.0;
                bits = bits & !0xffff_ffff | u64::from(small.to_bits());
            }
            check::<u8>(bits, 0.0, 255.0, f64::from);
            check::<u16>(bits, 0.0, 65_535.0, f64::from);
            check::<i16>(bits, -32_768.0, 32_767.0, f64::from);
            check::<i32>(bits, i32::MIN.into(), i32::MAX.into(), f64::from);
            check::<u32>(bits, 0.0, u32::MAX.into(), f64::from);
            check::<f32>(bits, f32::MIN.into(), f32::MAX.into(), f64::from);
            check::<f64>(bits, f32::MIN.into(), f32::MAX.into(), |v| v);
        }
    }

    /// The shift of Sentinel-2's encoding, and any other whole one, is undone exactly.
    #[test]
    fn every_16_bit_value_survives_a_shift() {
        for shift in [-1000.0, 1000.0, -1.0, 7.0, -32_768.0, 65_535.0] {
            for value in u16::MIN..=u16::MAX {
                assert_eq!(
                    u16::from_fill((value.to_f32() + shift - shift).into(), None),
                    value
                );
            }
            for value in i16::MIN..=i16::MAX {
                assert_eq!(
                    i16::from_fill((value.to_f32() + shift - shift).into(), None),
                    value
                );
            }
        }
    }

    #[test]
    fn nodata_outside_the_type_never_occurs() {
        assert_eq!(<u8 as StoredValue>::nodata(-9999.0), None);
        assert_eq!(<u8 as StoredValue>::nodata(0.5), None);
        assert_eq!(<u8 as StoredValue>::nodata(f64::NAN), None);
        assert_eq!(<i16 as StoredValue>::nodata(-9999.0), Some(-9999));
        assert!(f32::NAN.is_nodata(<f32 as StoredValue>::nodata(f64::NAN)));
    }

    #[test]
    fn what_f32_cannot_hold_is_no_data() {
        assert!(1e38_f64.is_finite_value() && !1e39_f64.is_finite_value());
        assert!(!f64::NAN.is_finite_value() && !f32::INFINITY.is_finite_value());
    }

    #[test]
    fn sameness_is_to_the_bit() {
        assert!(f32::NAN.same_bits(f32::NAN));
        assert!(!0.0_f32.same_bits(-0.0));
    }
}
