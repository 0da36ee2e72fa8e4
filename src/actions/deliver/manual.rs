//! What people have to do.

use crate::actions::End;
use crate::actions::context::Context;
use crate::config::runbook::kind::Manual;
use crate::config::runbook::{Template, Unrendered};

pub(super) fn list(manual: &Manual, context: &Context) -> Result<End, Unrendered> {
    let steps = steps(manual, context)?.into_iter().map(|step| format!("; {step}"));
    Ok(End::Task { sentence: context.render(&manual.text)? + &steps.collect::<String>() })
}

pub(super) fn preview(manual: &Manual, context: &Context) -> Result<String, Unrendered> {
    let steps = steps(manual, context)?.into_iter().map(|step| format!("\n{step}"));
    Ok(context.render(&manual.text)? + &steps.collect::<String>())
}

fn steps(manual: &Manual, context: &Context) -> Result<Vec<String>, Unrendered> {
    let each = |(number, step): (u32, &Template)| Ok(format!("{number}. {}", context.render(step)?));
    (1..).zip(&manual.steps).map(each).collect()
}
