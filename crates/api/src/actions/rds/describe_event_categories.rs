//! `DescribeEventCategories`: of the sources that have events here.
//!
//! Source: API_DescribeEventCategories.
use serde::{Deserialize, Serialize};

use super::describe_events::check_source_type;
use crate::{
    action::{Action, ActionContext, Api, Label, Layout, Output},
    shapes::{EventCategory, Filter},
};
use service::{events::kinds, fault::Fault};

/// The input. RDS documents `Filters` as not supported.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct DescribeEventCategories {
    source_type: Option<String>,
    #[serde(default)]
    filters: Vec<Filter>,
}

/// One source type's categories.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct EventCategoriesMap {
    source_type: &'static str,
    event_categories: Vec<EventCategory>,
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Categories {
    event_categories_map_list: Vec<EventCategoriesMap>,
}

impl Output for Categories {
    const LAYOUT: Layout = Layout::Page("EventCategoriesMapList");

    fn label(&self) -> Label {
        Label::Page { next: None }
    }
}

impl Action for DescribeEventCategories {
    const NAME: &'static str = "DescribeEventCategories";
    const API: Api = Api::Rds;
    const READS: bool = true;
    type Output = Categories;

    async fn run(self, _: &ActionContext) -> Result<Categories, Fault> {
        Filter::check(&self.filters, &[])?;
        let asked = self.source_type.as_deref();
        asked.map(check_source_type).transpose()?;
        let event_categories_map_list = [kinds::CLUSTER, kinds::INSTANCE, kinds::SNAPSHOT]
            .into_iter()
            .filter(|source| asked.is_none_or(|asked| asked == *source))
            .map(|source_type| EventCategoriesMap {
                source_type,
                event_categories: kinds::categories(source_type)
                    .into_iter()
                    .map(|category| EventCategory(category.to_owned()))
                    .collect(),
            })
            .collect();
        Ok(Categories {
            event_categories_map_list,
        })
    }
}
