//! `GetResources`: the caller's tagged resources of a region, by tags, types or ARNs.
//!
//! Source: API_GetResources. What has no tags is not listed.
use std::collections::BTreeSet;

use model::{Arn, ArnKind, Tag};
use serde::{Deserialize, Serialize};

use crate::action::{Action, ActionContext, Api, Label, Layout, Output};
use crate::tagging::resources::{self, Place, Tagged};
use service::fault::{Code, Fault};

/// Resources on a page when nothing is said, and at most.
const ROWS_DEFAULT: usize = 50;
const ROWS_MAX: i64 = 100;
/// Bounds of `TagsPerPage`.
const TAGS_PER_PAGE: std::ops::RangeInclusive<i64> = 100..=500;
/// Bounds of the lists.
const FILTERS_MAX: usize = 50;
const VALUES_MAX: usize = 20;
const ARNS_MAX: usize = 100;

/// A tag that a resource must have: any of the values, or any value at all.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct TagFilter {
    key: Option<String>,
    #[serde(default)]
    values: Vec<String>,
}

/// The input.
#[derive(Debug, Deserialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct GetResources {
    pagination_token: Option<String>,
    #[serde(default)]
    tag_filters: Vec<TagFilter>,
    resources_per_page: Option<i64>,
    tags_per_page: Option<i64>,
    #[serde(default)]
    resource_type_filters: Vec<String>,
    #[serde(rename = "ResourceARNList", default)]
    arns: Vec<String>,
    // There are no tag policies to comply with.
    #[serde(rename = "IncludeComplianceDetails")]
    _include_compliance_details: Option<bool>,
    #[serde(rename = "ExcludeCompliantResources")]
    _exclude_compliant_resources: Option<bool>,
}

#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct WireTag {
    key: String,
    value: String,
}

/// A resource in an answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
struct ResourceTagMapping {
    #[serde(rename = "ResourceARN")]
    arn: String,
    tags: Vec<WireTag>,
}

impl ResourceTagMapping {
    fn of(resource: &Tagged) -> Self {
        let tag = |tag: &Tag| WireTag {
            key: tag.key.clone(),
            value: tag.value.clone(),
        };
        Self {
            arn: resource.arn.to_string(),
            tags: resource.tags.iter().map(tag).collect(),
        }
    }
}

/// The answer.
#[derive(Debug, Serialize, schemars::JsonSchema)]
#[serde(rename_all = "PascalCase")]
pub struct Resources {
    pagination_token: String,
    resource_tag_mapping_list: Vec<ResourceTagMapping>,
}

impl Output for Resources {
    const LAYOUT: Layout = Layout::Page("ResourceTagMappingList");

    fn label(&self) -> Label {
        Label::Page {
            next: Some(self.pagination_token.clone()).filter(|token| !token.is_empty()),
        }
    }
}

impl Action for GetResources {
    const NAME: &'static str = "GetResources";
    const API: Api = Api::Tagging;
    const READS: bool = true;
    type Output = Resources;

    async fn run(self, cx: &ActionContext) -> Result<Resources, Fault> {
        let bounds = self.check()?;
        // An ARN is compared whole: what is elsewhere, or another's, is not among the caller's.
        let arns: BTreeSet<Arn> = self
            .arns
            .iter()
            .filter_map(|arn| Arn::parse(arn).ok())
            .collect();
        let wanted = |kind: ArnKind| {
            let by_type = self.resource_type_filters.is_empty() || self.is_type(kind);
            let by_arn = self.arns.is_empty() || arns.iter().any(|arn| arn.kind() == Some(kind));
            by_type && by_arn
        };
        let mut from: Option<Place> = resources::read_token(self.pagination_token.as_deref())?;
        let mut page: Vec<Tagged> = Vec::new();
        let mut tags = 0;
        loop {
            let (batch, next) = resources::batch(cx, from, wanted).await?;
            for resource in batch {
                let named = self.arns.is_empty() || arns.contains(&resource.arn);
                if !named || !self.passes(&resource.tags) {
                    continue;
                }
                tags += resource.tags.len();
                let full = page.len() == bounds.rows || bounds.tags < tags;
                // A resource has fewer tags than the smallest page holds, so that no page is empty.
                if full && !page.is_empty() {
                    return Ok(answer(&page, page.last().map(Tagged::place).as_ref()));
                }
                page.push(resource);
            }
            if next.is_none() {
                return Ok(answer(&page, None));
            }
            from = next;
        }
    }
}

fn answer(page: &[Tagged], next: Option<&Place>) -> Resources {
    Resources {
        pagination_token: resources::token(next),
        resource_tag_mapping_list: page.iter().map(ResourceTagMapping::of).collect(),
    }
}

/// How large a page may be.
struct Bounds {
    rows: usize,
    tags: usize,
}

fn wrong(message: impl Into<std::borrow::Cow<'static, str>>) -> Fault {
    Fault::new(Code::TaggingInvalidParameter, message)
}

impl GetResources {
    fn check(&self) -> Result<Bounds, Fault> {
        if FILTERS_MAX < self.tag_filters.len() {
            return Err(wrong(format!(
                "TagFilters has at most {FILTERS_MAX} filters."
            )));
        }
        for filter in &self.tag_filters {
            if filter.key.as_deref().unwrap_or_default().is_empty() {
                return Err(wrong("Each of TagFilters needs a Key."));
            }
            if VALUES_MAX < filter.values.len() {
                return Err(wrong(format!(
                    "A tag filter has at most {VALUES_MAX} Values."
                )));
            }
        }
        if ARNS_MAX < self.arns.len() {
            return Err(wrong(format!(
                "ResourceARNList has at most {ARNS_MAX} ARNs."
            )));
        }
        let others = !self.tag_filters.is_empty()
            || !self.resource_type_filters.is_empty()
            || self.resources_per_page.is_some()
            || self.tags_per_page.is_some();
        if !self.arns.is_empty() && others {
            return Err(wrong(
                "ResourceARNList cannot be given together with TagFilters, ResourceTypeFilters, \
                 ResourcesPerPage or TagsPerPage.",
            ));
        }
        let rows = match self.resources_per_page {
            None => ROWS_DEFAULT,
            Some(rows) => usize::try_from(rows)
                .ok()
                .filter(|_| (1..=ROWS_MAX).contains(&rows))
                .ok_or_else(|| {
                    wrong(format!(
                        "ResourcesPerPage is {rows}: it must be between 1 and {ROWS_MAX}."
                    ))
                })?,
        };
        let tags = match self.tags_per_page {
            None => usize::MAX,
            Some(tags) => usize::try_from(tags)
                .ok()
                .filter(|_| TAGS_PER_PAGE.contains(&tags) && tags % 100 == 0)
                .ok_or_else(|| {
                    wrong(format!(
                        "TagsPerPage is {tags}: it must be 100, 200, 300, 400 or 500."
                    ))
                })?,
        };
        Ok(Bounds { rows, tags })
    }

    /// `rds` means all of the service's, `rds:cluster` one type of them.
    fn is_type(&self, kind: ArnKind) -> bool {
        let full = resources::type_of(kind);
        let service = full.split(':').next().unwrap_or_default();
        let mut given = self.resource_type_filters.iter();
        given.any(|given| given == full || given == service)
    }

    fn passes(&self, tags: &[Tag]) -> bool {
        self.tag_filters.iter().all(|filter| {
            tags.iter().any(|tag| {
                filter.key.as_deref() == Some(&tag.key)
                    && (filter.values.is_empty() || filter.values.contains(&tag.value))
            })
        })
    }
}
