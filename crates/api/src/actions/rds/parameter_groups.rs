//! The actions of parameter groups: the same of clusters' groups and of instances', but for names.
//!
//! Sources: API_CreateDBClusterParameterGroup, API_CreateDBParameterGroup and their likes.

/// The actions of one scope. It needs the imports that both files have.
macro_rules! parameter_group_actions {
    (
        scope: $scope:expr, name: $name_type:ident, reference: $reference:ident,
        group: $group:literal, member: $member:literal, arn: $arn:literal, list: $list:literal,
        source: $source:literal, target: $target:literal, target_description: $target_description:literal,
        create: $create:literal, copy: $copy:literal, describe: $describe:literal, modify: $modify:literal,
        reset: $reset:literal, delete: $delete:literal, parameters: $parameters:literal,
        defaults: $defaults:literal,
    ) => {
        /// A group in an answer.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        #[serde(rename = $group)]
        struct Group {
            #[serde(rename = $member)]
            name: String,
            #[serde(rename = "DBParameterGroupFamily")]
            family: String,
            #[serde(rename = "Description")]
            description: String,
            #[serde(rename = $arn)]
            arn: String,
        }

        impl Group {
            fn of(group: &ParameterGroup) -> Self {
                Self {
                    name: group.name.clone(),
                    family: group.family.clone(),
                    description: group.description.clone(),
                    arn: group.arn().to_string(),
                }
            }
        }

        /// The answer of the actions that make one.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        pub struct GroupOutput {
            #[serde(rename = $group)]
            group: Group,
        }

        impl Output for GroupOutput {
            const LAYOUT: Layout = Layout::Resource($group);

            fn label(&self) -> Label {
                Label::Resource {
                    id: self.group.name.clone(),
                    created_at: None,
                }
            }
        }

        /// The answer of the actions that change one.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        pub struct NameOutput {
            #[serde(rename = $member)]
            name: String,
        }

        impl Output for NameOutput {}

        /// Makes a group.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct Create {
            #[serde(rename = $member)]
            name: String,
            #[serde(rename = "DBParameterGroupFamily")]
            family: String,
            #[serde(rename = "Description")]
            description: String,
            #[serde(rename = "Tags", default)]
            tags: Vec<Tag>,
        }

        impl Action for Create {
            const NAME: &'static str = $create;
            const API: Api = Api::Rds;
            type Output = GroupOutput;

            async fn run(self, cx: &ActionContext) -> Result<GroupOutput, Fault> {
                let name = shapes::named($member, &self.name, $name_type::parse)?;
                let (family, about) = (&self.family, &self.description);
                let group = parameters::new(cx, $scope, name.as_str(), family, about, &self.tags)?;
                let kept = parameters::insert(cx, group).await?;
                Ok(GroupOutput {
                    group: Group::of(&kept),
                })
            }
        }

        /// Makes a group with the values of another.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct Copy {
            #[serde(rename = $source)]
            source: String,
            #[serde(rename = $target)]
            target: String,
            #[serde(rename = $target_description)]
            description: String,
            #[serde(rename = "Tags", default)]
            tags: Vec<Tag>,
        }

        impl Action for Copy {
            const NAME: &'static str = $copy;
            const API: Api = Api::Rds;
            type Output = GroupOutput;

            async fn run(self, cx: &ActionContext) -> Result<GroupOutput, Fault> {
                let source = $reference::asked($source, &self.source, cx)?;
                let name = shapes::named($target, &self.target, $name_type::parse)?;
                let source = parameters::one(cx, source).await?;
                let (family, about) = (&source.family, &self.description);
                let group = parameters::new(cx, $scope, name.as_str(), family, about, &self.tags)?;
                let group = ParameterGroup {
                    parameters: source.parameters.clone(),
                    ..group
                };
                let kept = parameters::insert(cx, group).await?;
                Ok(GroupOutput {
                    group: Group::of(&kept),
                })
            }
        }

        /// Lists groups.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct Describe {
            #[serde(rename = $member)]
            name: Option<String>,
            #[serde(rename = "Filters", default)]
            filters: Vec<Filter>,
            #[serde(rename = "MaxRecords")]
            max_records: Option<i64>,
            #[serde(rename = "Marker")]
            marker: Option<String>,
        }

        /// The groups.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        pub struct Groups {
            #[serde(rename = "Marker", skip_serializing_if = "Option::is_none")]
            marker: Option<String>,
            #[serde(rename = $list)]
            groups: Vec<Group>,
        }

        impl Output for Groups {
            const LAYOUT: Layout = Layout::Page($list);

            fn label(&self) -> Label {
                Label::Page {
                    next: self.marker.clone(),
                }
            }
        }

        impl Action for Describe {
            const NAME: &'static str = $describe;
            const API: Api = Api::Rds;
            const READS: bool = true;
            type Output = Groups;

            async fn run(self, cx: &ActionContext) -> Result<Groups, Fault> {
                let page: Page<(String, usize)> =
                    Page::read(self.max_records, self.marker.as_deref())?;
                Filter::check(&self.filters, &[])?;
                let found = match &self.name {
                    Some(name) => {
                        let wanted = $reference::asked($member, name, cx)?;
                        vec![parameters::one(cx, wanted).await?]
                    }
                    None => parameters::all(cx, $scope).await?,
                };
                let (found, marker) = page.cut(found, |group| group.name.clone());
                Ok(Groups {
                    marker,
                    groups: found.iter().map(Group::of).collect(),
                })
            }
        }

        /// Sets parameters.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct Modify {
            #[serde(rename = $member)]
            name: String,
            #[serde(rename = "Parameters")]
            parameters: Vec<Asked>,
        }

        impl Action for Modify {
            const NAME: &'static str = $modify;
            const API: Api = Api::Rds;
            type Output = NameOutput;

            async fn run(self, cx: &ActionContext) -> Result<NameOutput, Fault> {
                let wanted = $reference::asked($member, &self.name, cx)?;
                let name = parameters::modify(cx, wanted, &self.parameters).await?;
                Ok(NameOutput { name })
            }
        }

        /// Takes parameters back.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct Reset {
            #[serde(rename = $member)]
            name: String,
            #[serde(rename = "ResetAllParameters", default)]
            everything: bool,
            #[serde(rename = "Parameters", default)]
            parameters: Vec<Asked>,
        }

        impl Action for Reset {
            const NAME: &'static str = $reset;
            const API: Api = Api::Rds;
            type Output = NameOutput;

            async fn run(self, cx: &ActionContext) -> Result<NameOutput, Fault> {
                let wanted = $reference::asked($member, &self.name, cx)?;
                let (everything, asked) = (self.everything, &self.parameters);
                let name = parameters::reset(cx, wanted, everything, asked).await?;
                Ok(NameOutput { name })
            }
        }

        /// Forgets a group.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct Delete {
            #[serde(rename = $member)]
            name: String,
        }

        impl Action for Delete {
            const NAME: &'static str = $delete;
            const API: Api = Api::Rds;
            type Output = ();

            async fn run(self, cx: &ActionContext) -> Result<(), Fault> {
                let wanted = $reference::asked($member, &self.name, cx)?;
                parameters::delete(cx, wanted).await
            }
        }

        /// Lists a group's parameters.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct DescribeParameters {
            #[serde(rename = $member)]
            name: String,
            #[serde(rename = "Source")]
            source: Option<String>,
            #[serde(rename = "Filters", default)]
            filters: Vec<Filter>,
            #[serde(rename = "MaxRecords")]
            max_records: Option<i64>,
            #[serde(rename = "Marker")]
            marker: Option<String>,
        }

        /// The parameters.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase")]
        pub struct ParametersOutput {
            parameters: Vec<Shown>,
            #[serde(skip_serializing_if = "Option::is_none")]
            marker: Option<String>,
        }

        impl Output for ParametersOutput {
            const LAYOUT: Layout = Layout::Page("Parameters");

            fn label(&self) -> Label {
                Label::Page {
                    next: self.marker.clone(),
                }
            }
        }

        impl Action for DescribeParameters {
            const NAME: &'static str = $parameters;
            const API: Api = Api::Rds;
            const READS: bool = true;
            type Output = ParametersOutput;

            async fn run(self, cx: &ActionContext) -> Result<ParametersOutput, Fault> {
                let wanted = $reference::asked($member, &self.name, cx)?;
                let group = parameters::one(cx, wanted).await?;
                let which = Which {
                    source: self.source.as_deref(),
                    filters: &self.filters,
                    max_records: self.max_records,
                    marker: self.marker.as_deref(),
                };
                let (family, set) = (&group.family, &group.parameters);
                let (parameters, marker) = parameters::parameters(cx, family, set, which).await?;
                Ok(ParametersOutput { parameters, marker })
            }
        }

        /// Lists a family's parameters.
        #[derive(Debug, Deserialize, schemars::JsonSchema)]
        pub struct DescribeDefaults {
            #[serde(rename = "DBParameterGroupFamily")]
            family: String,
            #[serde(rename = "Filters", default)]
            filters: Vec<Filter>,
            #[serde(rename = "MaxRecords")]
            max_records: Option<i64>,
            #[serde(rename = "Marker")]
            marker: Option<String>,
        }

        /// A family's parameters.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        pub struct EngineDefaults {
            #[serde(rename = "DBParameterGroupFamily")]
            family: String,
            #[serde(rename = "Marker", skip_serializing_if = "Option::is_none")]
            marker: Option<String>,
            #[serde(rename = "Parameters")]
            parameters: Vec<Shown>,
        }

        /// The answer.
        #[derive(Debug, Serialize, schemars::JsonSchema)]
        #[serde(rename_all = "PascalCase")]
        pub struct DefaultsOutput {
            engine_defaults: EngineDefaults,
        }

        impl Output for DefaultsOutput {}

        impl Action for DescribeDefaults {
            const NAME: &'static str = $defaults;
            const API: Api = Api::Rds;
            const READS: bool = true;
            type Output = DefaultsOutput;

            async fn run(self, cx: &ActionContext) -> Result<DefaultsOutput, Fault> {
                let which = Which {
                    source: None,
                    filters: &self.filters,
                    max_records: self.max_records,
                    marker: self.marker.as_deref(),
                };
                let none = std::collections::BTreeMap::new();
                let listed = parameters::parameters(cx, &self.family, &none, which);
                let (parameters, marker) = listed.await?;
                Ok(DefaultsOutput {
                    engine_defaults: EngineDefaults {
                        family: self.family,
                        marker,
                        parameters,
                    },
                })
            }
        }
    };
}

pub(super) use parameter_group_actions;
