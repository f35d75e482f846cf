//! Metrics with one label from a closed set, every child made at start.
//!
//! The hot path indexes an array: it never hashes a label, and a child that
//! never counted is rendered as zero instead of being absent.

use std::marker::PhantomData;

use prometheus::core::Collector;
use prometheus::{Histogram, HistogramOpts, IntCounter, IntGauge, Opts, Registry, Result};

use crate::metrics::label::Label;

/// One row of the table.
#[derive(Clone, Copy, Debug)]
pub struct Spec {
    /// The name, with prefix and unit.
    pub name: &'static str,
    /// What it counts.
    pub help: &'static str,
    /// The label's name; empty where there is none.
    pub label: &'static str,
    /// Upper bounds of a histogram's buckets.
    pub buckets: &'static [f64],
}

/// What a row of the table can be.
pub trait Register: Sized {
    /// Makes the metric and registers it.
    fn register(registry: &Registry, spec: &Spec) -> Result<Self>;
}

impl<M: Metric> Register for M {
    fn register(registry: &Registry, spec: &Spec) -> Result<Self> {
        let metric = Self::create(Opts::new(spec.name, spec.help), spec.buckets)?;
        registry.register(Box::new(metric.clone()))?;
        Ok(metric)
    }
}

/// A single time series.
pub trait Metric: Collector + Clone + 'static {
    /// Makes it; only histograms look at `buckets`.
    fn create(options: Opts, buckets: &[f64]) -> Result<Self>;
}

impl Metric for IntCounter {
    fn create(options: Opts, _: &[f64]) -> Result<Self> {
        Self::with_opts(options)
    }
}

impl Metric for IntGauge {
    fn create(options: Opts, _: &[f64]) -> Result<Self> {
        Self::with_opts(options)
    }
}

impl Metric for Histogram {
    fn create(options: Opts, buckets: &[f64]) -> Result<Self> {
        Self::with_opts(HistogramOpts::from(options).buckets(buckets.to_vec()))
    }
}

/// One `M` for each value of the label `L`.
#[derive(Debug)]
pub struct Family<L, M> {
    children: Box<[M]>,
    label: PhantomData<L>,
}

impl<L: Label, M> Family<L, M> {
    /// The series of this label value.
    pub fn of(&self, value: L) -> &M {
        &self.children[value.index()]
    }
}

impl<L: Label, M: Metric> Register for Family<L, M> {
    fn register(registry: &Registry, spec: &Spec) -> Result<Self> {
        let mut children = Vec::with_capacity(L::VALUES.len());
        for value in L::VALUES {
            let options = Opts::new(spec.name, spec.help).const_label(spec.label, value.word());
            let child = M::create(options, spec.buckets)?;
            registry.register(Box::new(child.clone()))?;
            children.push(child);
        }
        Ok(Self { children: children.into(), label: PhantomData })
    }
}
